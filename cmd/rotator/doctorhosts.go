package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/store"
)

// appUnderTest is an app with what the hosts are asked with.
type appUnderTest struct {
	app     store.App
	words   appWords
	inForce effective
	client  *haravan.Client
	secrets []store.Secret
	sample  []store.Token // may be empty
}

// sampleSize shops are asked at most: one may be dead for its own reasons.
const sampleSize = 3

func (d *doctor) apps(ctx context.Context, s *store.Store) []appUnderTest {
	var apps []store.App
	var err error
	if d.c.appName != "" {
		var one store.App
		one, err = s.App(ctx, d.c.appName)
		apps = []store.App{one}
	} else {
		apps, err = s.Apps(ctx)
	}
	if err != nil {
		d.fail("app", err, "`rotator app list` shows the apps")
		return nil
	}
	if len(apps) == 0 {
		d.add("app", check{Status: checkWarn, Detail: "none is set", Remedy: "rotator app set --name NAME --client-id CLIENT_ID"})
	}
	words, _ := d.c.appWords(ctx, s, "") // bare commands are better than none
	cfg, _ := d.c.settings()             // loaded by now
	var under []appUnderTest
	for _, a := range apps {
		words.app = a.Name
		t := appUnderTest{app: a, words: words}
		if t.inForce, err = inForce(a, cfg.APIURL); err == nil {
			t.client, err = d.c.client(a)
		}
		if err == nil {
			t.sample, err = s.Sample(ctx, a.ID, sampleSize)
		}
		if err == nil {
			t.secrets, err = s.Secrets(ctx, a.ID)
		}
		if err != nil {
			d.fail("app "+a.Name, err, words.text("`rotator app set` mends the app's settings"))
			continue
		}
		under = append(under, t)
	}
	return under
}

// judgeSecrets names the versions that live.
func judgeSecrets(secrets []store.Secret) check {
	var living []string
	for _, v := range secrets {
		if v.State != store.SecretRevoked && v.State != store.SecretDiscarded {
			living = append(living, fmt.Sprintf("version %d is %s", v.Version, v.State))
		}
	}
	if len(living) == 0 {
		return check{Status: checkWarn, Detail: "none is stored", Remedy: "`rotator secret add` stores the one that the app works with now"}
	}
	return check{Status: checkOK, Detail: strings.Join(living, ", ")}
}

// addOf is add for what was found of one app.
func (d *doctor) addOf(a appUnderTest, what string, found check) {
	found.Remedy = a.words.text(a.words.command(found.Remedy))
	d.add(what+" of "+a.app.Name, found)
}

func (d *doctor) wire(a appUnderTest) {
	d.ok("wire of "+a.app.Name, "to "+a.inForce.APIURL+": "+describeWire(a.inForce))
}

// hosts reads the identity of a stored shop, or where there is none only
// connects to the one host.
func (d *doctor) hosts(ctx context.Context, a appUnderTest, clocks *clockReadings) {
	if len(a.sample) == 0 {
		d.addOf(a, "hosts", reach(ctx, a.inForce.APIURL, a.hostSetting()))
		return
	}
	defer a.client.CloseIdle()
	var found check
	refused, missing := 0, 0
	for _, shop := range a.sample {
		before := time.Now()
		identity, err := a.client.Identity(ctx, shop.Domain, shop.Access)
		meta := identity.Meta
		var failed *haravan.Error
		if errors.As(err, &failed) {
			meta = failed.Meta
		}
		clocks.readPlatform(before, time.Now(), meta.Date)
		found = judgeIdentity(shop.Domain, meta, err, a.hostSetting())
		if found.Status == checkOK {
			break
		}
		switch meta.Status {
		case http.StatusUnauthorized:
			refused++
		case http.StatusNotFound:
			missing++
		}
	}
	switch asked := len(a.sample); { // of two or more it is no merchant's doing
	case asked > 1 && refused == asked:
		found.Detail = fmt.Sprintf("reached, but the tokens of all %d shops that were asked are refused", asked)
		found.Remedy = "is it this app's list, and the right platform (" + a.hostSetting() + ")? `rotator shop import` stores a newer list"
	case asked > 1 && missing == asked:
		found.Detail = fmt.Sprintf("reached, but none of the %d shops that were asked is there: a wrong host says the same of every shop", asked)
		found.Remedy = "is it the right platform (" + a.hostSetting() + "), and this app's list?"
	}
	d.addOf(a, "hosts", found)
}

// hostSetting names what says where the app's requests go.
func (a appUnderTest) hostSetting() string {
	if a.app.Settings.APIURL != "" {
		return "`rotator app set --api-url`"
	}
	return "ROTATOR_API_URL"
}

// judgeIdentity: any answer shows that the host is reached; only a good one that
// its tokens work.
func judgeIdentity(shop string, meta haravan.Meta, err error, setting string) check {
	switch {
	case err == nil:
		return check{Status: checkOK, Detail: fmt.Sprintf("%s answered in %s", shop, meta.Latency.Round(time.Millisecond))}
	case meta.Status == 0:
		return check{Status: checkFail, Detail: err.Error(), Remedy: "check the network, the proxy and " + setting}
	}
	return check{Status: checkWarn, Detail: "reached, but " + err.Error(), Remedy: "look at this shop, and import its token again if it changed"}
}

// reach connects to the one host of an API URL, without sending anything.
func reach(ctx context.Context, apiURL, setting string) check {
	noShop := check{Status: checkWarn, Detail: "no stored shop to ask", Remedy: "rotator shop import FILE"}
	u, err := url.Parse(apiURL)
	if strings.Contains(apiURL, "{shop}") || err != nil {
		return noShop
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = u.Scheme // net knows the names http and https
	}
	address := net.JoinHostPort(u.Hostname(), port)
	var conn net.Conn
	if u.Scheme == "https" {
		conn, err = (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return check{Status: checkFail, Detail: err.Error(), Remedy: "check the network and " + setting}
	}
	_ = conn.Close() // nothing was sent
	noShop.Detail = address + " accepts connections, but there is " + noShop.Detail
	return noShop
}
