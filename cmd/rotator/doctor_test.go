package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// diagnosis runs the doctor and returns its checks by name.
func diagnosis(t *testing.T, r *rig, args ...string) (code int, checks map[string]check) {
	t.Helper()
	got := r.run("", append([]string{"doctor", "--json"}, args...)...)
	var answer struct {
		Status string  `json:"status"`
		Checks []check `json:"checks"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
		t.Fatalf("%v: %s%s", err, got.stdout, got.stderr)
	}
	checks = map[string]check{}
	for _, c := range answer.Checks {
		checks[c.Name] = c
	}
	return got.code, checks
}

// rigWithApp returns a rig whose app main is known to a simulated platform.
func rigWithApp(t *testing.T, o haravansim.Options) (*rig, *haravansim.Server) {
	t.Helper()
	r, sim := newRig(t), startSim(t, o)
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL)
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.App().ClientID)
	return r, sim
}

func TestDoctorOnAHealthyFleet(t *testing.T) {
	t.Parallel()
	r, sim := rigWithApp(t, haravansim.Options{Shops: 5})

	_, checks := diagnosis(t, r)
	if got := checks["secret of main"]; got.Status != checkWarn || !strings.Contains(got.Remedy, "rotator secret add") {
		t.Errorf("without a secret: %+v", got)
	}
	if got := checks["hosts of main"]; got.Status != checkWarn || !strings.Contains(got.Detail, "accepts connections") {
		t.Errorf("without shops: %+v", got)
	}

	var list strings.Builder
	list.WriteString("domain,access_token\n")
	for shop := range sim.Shops {
		list.WriteString(shop.Domain + "," + shop.AccessToken + "\n")
	}
	r.ok(list.String(), "shop", "import", "-")
	r.ok("one", "secret", "add")
	code, checks := diagnosis(t, r)
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"configuration", "database", "encoding", "schema", "keyring", "secret of main", "wire of main", "hosts of main", "clocks", "open files"} {
		if checks[name].Status != checkOK {
			t.Errorf("%s: %+v", name, checks[name])
		}
	}
	if got := checks["clocks"].Detail; got != "database agrees, platform agrees" {
		t.Errorf("clocks: %s", got)
	}
	if misuse := sim.Misuse(); len(misuse) > 0 {
		t.Errorf("the doctor misuses the platform: %v", misuse)
	}
}

func TestDoctorSeesThePlatformsTroubles(t *testing.T) {
	t.Parallel()
	r, _ := rigWithApp(t, haravansim.Options{Shops: 5, Knobs: haravansim.Knobs{SkewDate: -3 * time.Minute}})
	r.ok("domain,access_token\nshop-000001,stale\n", "shop", "import", "-")

	code, checks := diagnosis(t, r)
	if code != exitDone {
		t.Errorf("exit code %d for warnings", code)
	}
	if got := checks["hosts of main"]; got.Status != checkWarn || !strings.Contains(got.Detail, "shop-000001.myharavan.com") {
		t.Errorf("a refused token: %+v", got)
	}
	if got := checks["clocks"]; got.Status != checkWarn || !strings.Contains(got.Detail, "behind this machine") {
		t.Errorf("a skewed Date: %+v", got)
	}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	code, checks = diagnosis(t, r, "--api-url", nowhere)
	if got := checks["hosts of main"]; code != exitFailed || got.Status != checkFail || got.Remedy == "" {
		t.Errorf("an unreachable host: exit code %d, %+v", code, got)
	}
	if code, checks = diagnosis(t, r, "--app", "other"); code != exitFailed || checks["app"].Status != checkFail {
		t.Errorf("an unknown app: exit code %d, %+v", code, checks["app"])
	}
}

// TestDoctorNamesTheApp: with several apps a command without its app is refused.
func TestDoctorNamesTheApp(t *testing.T) {
	t.Parallel()
	r, _ := rigWithApp(t, haravansim.Options{Shops: 2})
	remedies := func() map[string]string {
		_, checks := diagnosis(t, r)
		return map[string]string{"secret": checks["secret of main"].Remedy, "hosts": checks["hosts of main"].Remedy}
	}
	want := map[string]string{"secret": "`rotator secret add` stores the one that the app works with now", "hosts": "rotator shop import FILE"}
	if diff := cmp.Diff(want, remedies()); diff != "" {
		t.Errorf("with one app (-want +got):\n%s", diff)
	}
	r.ok("", "app", "set", "--name", "second", "--client-id", "another")
	want = map[string]string{"secret": "`rotator secret add --app main` stores the one that the app works with now", "hosts": "rotator shop import FILE --app main"}
	if diff := cmp.Diff(want, remedies()); diff != "" {
		t.Errorf("with two (-want +got):\n%s", diff)
	}
}

// TestDoctorLooksPastADeadShop: one shop that answers is enough to know that
// the hosts are well. The sample's order is that of md5(id): 1, 2, 3.
func TestDoctorLooksPastADeadShop(t *testing.T) {
	t.Parallel()
	r, sim := rigWithApp(t, haravansim.Options{Shops: 5})
	for shop := range sim.Shops {
		list := "domain,access_token\nstale-one,stale\n" + shop.Domain + "," + shop.AccessToken + "\nstale-two,stale\n"
		r.ok(list, "shop", "import", "-")
		break
	}
	if _, checks := diagnosis(t, r); checks["hosts of main"].Status != checkOK {
		t.Errorf("%+v", checks["hosts of main"])
	}
}

// Shop by shop it would look like each merchant's own matter.
func TestDoctorSeesThatEveryTokenIsRefused(t *testing.T) {
	t.Parallel()
	r, _ := rigWithApp(t, haravansim.Options{Shops: 5})
	r.ok("domain,access_token\nshop-000001,stale\nshop-000002,stale-too\n", "shop", "import", "-")
	_, checks := diagnosis(t, r)
	if got := checks["hosts of main"]; got.Status != checkWarn || !strings.Contains(got.Detail, "all 2 shops") || !strings.Contains(got.Remedy, "ROTATOR_API_URL") {
		t.Errorf("%+v", got)
	}
}

// A host that is not the platform says of every shop that it is not there. The
// app's own URL beats the variable, so that changing the variable would not help.
func TestDoctorSeesAWrongHost(t *testing.T) {
	t.Parallel()
	r, sim := rigWithApp(t, haravansim.Options{Shops: 5})
	r.ok("domain,access_token\nshop-000001,one\nshop-000002,two\n", "shop", "import", "-")
	r.ok("", "app", "set", "--name", "main", "--api-url", sim.ManagementURL)
	_, checks := diagnosis(t, r)
	if got := checks["hosts of main"]; got.Status != checkWarn || !strings.Contains(got.Detail, "none of the 2 shops") || !strings.Contains(got.Remedy, "`rotator app set --api-url`") {
		t.Errorf("%+v", got)
	}
}

func TestDoctorWithoutADatabase(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env[0] = "DATABASE_URL=postgres://user@127.0.0.1:1/none"
	code, checks := diagnosis(t, r)
	if code != exitFailed || checks["database"].Status != checkFail {
		t.Errorf("exit code %d, %+v", code, checks["database"])
	}
	r.env[0] = "DATABASE_URL=" + storetest.Empty(t)
	if code, checks = diagnosis(t, r); code != exitConfig || !strings.Contains(checks["schema"].Detail, "rotator db migrate") {
		t.Errorf("exit code %d, %+v", code, checks["schema"])
	}
}

func TestJudgeIdentity(t *testing.T) {
	t.Parallel()
	const shop = "one.myharavan.com"
	for _, tt := range []struct {
		name   string
		status int
		err    error
		want   string
	}{
		{"answered", 200, nil, checkOK},
		{"refused", 401, &haravan.Error{Op: haravan.OpIdentity, Class: rotation.ClassUnauthorized, Status: 401}, checkWarn},
		{"broken", 503, &haravan.Error{Op: haravan.OpIdentity, Class: rotation.ClassPlatform, Status: 503}, checkWarn},
		{"silent", 0, &haravan.Error{Op: haravan.OpIdentity, Class: rotation.ClassNetwork, Err: errors.New("refused")}, checkFail},
	} {
		if got := judgeIdentity(shop, haravan.Meta{Status: tt.status}, tt.err, "ROTATOR_API_URL"); got.Status != tt.want || (got.Remedy == "") != (tt.want == checkOK) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestJudgeMachine(t *testing.T) {
	t.Parallel()
	for free, want := range map[int64]string{
		spaceNeeded - 1: checkFail, spaceNeeded: checkWarn, spaceWanted - 1: checkWarn, spaceWanted: checkOK,
	} {
		if got := judgeSpace("/data", free); got.Status != want {
			t.Errorf("%d bytes: %+v", free, got)
		}
	}
	if got := diskSpace(t.TempDir() + "/not/there/yet"); got.Status == checkWarn && strings.Contains(got.Detail, "cannot be read") {
		t.Errorf("a folder that is not there yet: %+v", got)
	}
	if got := openFiles(1 << 40); got.Status != checkFail || !strings.Contains(got.Remedy, "ulimit -n") {
		t.Errorf("too many calls for any limit: %+v", got)
	}
	if got := openFiles(1); got.Status != checkOK {
		t.Errorf("one call: %+v", got)
	}
}

func TestReachSendsNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan int, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			received <- -1
			return
		}
		defer conn.Close()
		n, _ := conn.Read(make([]byte, 16)) // 0 and io.EOF is what is wanted
		received <- n
	}()
	if got := reach(context.Background(), "http://"+l.Addr().String(), "ROTATOR_API_URL"); got.Status != checkWarn {
		t.Errorf("got %+v", got)
	}
	if n := <-received; n != 0 {
		t.Errorf("%d bytes came", n)
	}
	if got := reach(context.Background(), haravan.DefaultAPIURL, "ROTATOR_API_URL"); got.Status != checkWarn || !strings.HasPrefix(got.Detail, "no stored shop") {
		t.Errorf("per-shop hosts: %+v", got)
	}
}

// What every other command ends with 78 for is no matter of the server's log.
func TestDoctorOnADataFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can have data that the server's user has not")
	}
	bin, err := pgembed.FindBinaries()
	must(t, err)
	r := newRig(t)
	restored, gone := r.dir+"/restored", r.dir+"/gone"
	must(t, os.MkdirAll(restored+"/postgres/data", 0o700))
	must(t, os.WriteFile(restored+"/postgres/data/PG_VERSION", fmt.Appendf(nil, "%d\n", bin.Major), 0o600))
	must(t, os.Symlink(r.dir+"/nowhere", gone))
	for dir, tt := range map[string]struct{ name, says string }{
		restored: {"database", "it belongs to root, and PostgreSQL does not run as root"},
		gone:     {"private PostgreSQL", "is a link to nothing"},
	} {
		r.env = []string{"ROTATOR_DATA_DIR=" + dir, "ROTATOR_ACTOR=tester"}
		code, checks := diagnosis(t, r)
		if got := checks[tt.name]; code != exitConfig || got.Status != checkFail || !strings.Contains(got.Detail, tt.says) || got.Remedy != "" {
			t.Errorf("%s: exit code %d, %+v", dir, code, got)
		}
		if got := r.run("", "app", "list"); got.code != exitConfig || !strings.Contains(got.stderr, tt.says) {
			t.Errorf("%s: app list: exit code %d, %s", dir, got.code, got.stderr)
		}
	}
}
