package haravan

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/haravan-rotator/rotator/internal/outbound"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

const htmlPage = "<!DOCTYPE html><html><head><title>Whoops &amp; sorry</title></head><body>x</body></html>"

func TestClassifyExchange(t *testing.T) {
	t.Parallel()
	const (
		platform, limit, bad  = rotation.ClassPlatform, rotation.ClassRateLimited, rotation.ClassBadAnswer
		ours, window, refused = rotation.ClassOurs, rotation.ClassWindow, rotation.ClassUnauthorized
		gone, frozen, unknown = rotation.ClassUninstalled, rotation.ClassFrozen, rotation.ClassNotFound
	)
	for name, tt := range map[string]struct {
		status int
		body   string
		want   Verdict
	}{
		// Success.
		"token":                 {200, `{"access_token":"f85632530bf277ec9ac6f649fc327f17"}`, Verdict{}},
		"token and more fields": {200, ` {"scope":"a","access_token":"t","expires_in":1,"error":null}`, Verdict{}},
		"token after a BOM":     {200, "\xef\xbb\xbf{\"access_token\":\"t\"}", Verdict{}},
		"created":               {201, `{"access_token":"t"}`, Verdict{}},

		// Success that is none.
		"empty":              {200, ``, Verdict{Class: bad, Detail: "an empty answer instead of an access token"}},
		"no content":         {204, ``, Verdict{Class: bad, Detail: "an empty answer instead of an access token"}},
		"no token":           {200, `{}`, Verdict{Class: bad, Detail: "JSON without an access token that can be used"}},
		"empty token":        {200, `{"access_token":""}`, Verdict{Class: bad, Detail: "JSON without an access token that can be used"}},
		"null token":         {200, `{"access_token":null}`, Verdict{Class: bad, Detail: "JSON without an access token that can be used"}},
		"number token":       {200, `{"access_token":5}`, Verdict{Class: bad, Detail: "JSON without an access token that can be used"}},
		"token with newline": {200, `{"access_token":"a\nb"}`, Verdict{Class: bad, Detail: "JSON without an access token that can be used"}},
		"token not ascii":    {200, `{"access_token":"ă"}`, Verdict{Class: bad, Detail: "JSON without an access token that can be used"}},
		"truncated":          {200, `{"access_token":"f856325`, Verdict{Class: bad, Detail: "broken JSON instead of an access token"}},
		"trailing rubbish":   {200, `{"access_token":"t"}}`, Verdict{Class: bad, Detail: "broken JSON instead of an access token"}},
		"list":               {200, `["t"]`, Verdict{Class: bad, Detail: "JSON without an access token: t"}},
		"token in a list":    {200, `[{"access_token":"t1","scope":"a"}]`, Verdict{Class: bad, Detail: "JSON without an access token: access_token […], scope a"}},
		"token in errors":    {400, `{"errors":{"token":"a.b/c"}}`, Verdict{Class: ours, Detail: "token […]"}},
		"token's error":      {400, `{"errors":{"refresh_token":"expired"}}`, Verdict{Class: window, Detail: "refresh_token expired"}},
		"html 200":           {200, htmlPage, Verdict{Class: bad, Detail: "an HTML page instead of an access token"}},
		"text 200":           {200, `access_token=t`, Verdict{Class: bad, Detail: "plain text instead of an access token"}},
		"error in 200":       {200, `{"error":"invalid_grant"}`, Verdict{Class: window, Code: "invalid_grant"}},
		"error flag in 200":  {200, `{"error":true,"message":"try again","error_Code":7}`, Verdict{Class: bad, Detail: "JSON without an access token: try again"}},

		// OAuth's codes.
		"invalid_client":      {401, `{"error":"invalid_client"}`, Verdict{Class: ours, Code: "invalid_client"}},
		"invalid_client 400":  {400, `{"error":"invalid_client","error_description":"Bad secret"}`, Verdict{Class: ours, Code: "invalid_client", Detail: "Bad secret"}},
		"invalid_grant":       {400, `{"error":"invalid_grant","error_description":"expired"}`, Verdict{Class: window, Code: "invalid_grant", Detail: "expired"}},
		"invalid_grant 401":   {401, `{"error":"invalid_grant"}`, Verdict{Class: window, Code: "invalid_grant"}},
		"invalid_grant 422":   {422, `{"error":"invalid_grant"}`, Verdict{Class: window, Code: "invalid_grant"}},
		"invalid_grant 500":   {500, `{"error":"invalid_grant"}`, Verdict{Class: window, Code: "invalid_grant"}},
		"invalid_grant upper": {400, `{"error":"INVALID_GRANT"}`, Verdict{Class: window, Code: "invalid_grant"}},
		"in errors":           {400, `{"errors":"invalid_grant"}`, Verdict{Class: window, Code: "invalid_grant"}},
		"deep in errors":      {400, `{"errors":{"base":["invalid_grant"]}}`, Verdict{Class: window, Detail: "base invalid_grant"}},
		"with a BOM":          {400, "\xef\xbb\xbf{\"error\":\"invalid_grant\"}", Verdict{Class: window, Code: "invalid_grant"}},
		"unauthorized_client": {403, `{"error":"unauthorized_client"}`, Verdict{Class: ours, Code: "unauthorized_client"}},
		"invalid_request":     {400, `{"error":"invalid_request"}`, Verdict{Class: ours, Code: "invalid_request"}},
		"unsupported grant":   {400, `{"error":"unsupported_grant_type"}`, Verdict{Class: ours, Code: "unsupported_grant_type"}},
		"invalid_token":       {401, `{"error":"invalid_token"}`, Verdict{Class: window, Code: "invalid_token"}},
		"shop's token":        {401, `{"error":"invalid_token","error_description":"The access token is dead"}`, Verdict{Class: refused, Code: "invalid_token", Detail: "The access token is dead"}},
		"access_denied":       {403, `{"error":"access_denied"}`, Verdict{Class: refused, Code: "access_denied"}},
		"server_error":        {400, `{"error":"server_error"}`, Verdict{Class: platform, Code: "server_error"}},
		"unavailable":         {400, `{"error":"temporarily_unavailable"}`, Verdict{Class: platform, Code: "temporarily_unavailable"}},
		"slow_down":           {400, `{"error":"slow_down"}`, Verdict{Class: limit, Code: "slow_down"}},
		"no app":              {400, `{"error":"app_not_installed"}`, Verdict{Class: gone, Code: "app_not_installed"}},

		// Sentences where a code should be, errors in its three shapes.
		"sentence, window":   {400, `{"error":"Refresh token has expired"}`, Verdict{Class: window, Detail: "Refresh token has expired"}},
		"sentence, ours":     {401, `{"errors":"Wrong client_secret"}`, Verdict{Class: ours, Detail: "Wrong client_secret"}},
		"sentence, gone":     {403, `{"errors":["App is not installed"]}`, Verdict{Class: gone, Detail: "App is not installed"}},
		"errors list":        {400, `{"errors":["a b","c d"]}`, Verdict{Class: ours, Detail: "a b, c d"}},
		"errors object":      {400, `{"errors":{"z":["last one"],"a":"first one"}}`, Verdict{Class: ours, Detail: "a first one, z last one"}},
		"errors of api key":  {401, `{"errors":"[API] Invalid API key or access token"}`, Verdict{Class: refused, Detail: "[API] Invalid API key or access token"}},
		"plain text, window": {400, "The refresh_token is unknown", Verdict{Class: window, Detail: "The refresh_token is unknown"}},
		"a JSON string":      {400, `"Bad thing"`, Verdict{Class: ours, Detail: "Bad thing"}},

		// By status.
		"400 empty":       {400, ``, Verdict{Class: ours}},
		"400 html":        {400, htmlPage, Verdict{Class: bad, Detail: "an HTML page: Whoops & sorry"}},
		"401 empty":       {401, ``, Verdict{Class: refused}},
		"401 html":        {401, htmlPage, Verdict{Class: refused, Detail: "an HTML page: Whoops & sorry"}},
		"402":             {402, `{"errors":"Unavailable Shop"}`, Verdict{Class: frozen, Detail: "Unavailable Shop"}},
		"403 empty":       {403, ``, Verdict{Class: refused}},
		"403 html":        {403, htmlPage, Verdict{Class: bad, Detail: "an HTML page: Whoops & sorry"}},
		"404 empty":       {404, ``, Verdict{Class: unknown}},
		"404 json":        {404, `{"errors":"Not Found"}`, Verdict{Class: unknown, Detail: "Not Found"}},
		"404 html":        {404, htmlPage, Verdict{Class: unknown, Detail: "an HTML page: Whoops & sorry"}},
		"405":             {405, ``, Verdict{Class: ours}},
		"415":             {415, htmlPage, Verdict{Class: ours, Detail: "an HTML page: Whoops & sorry"}},
		"408":             {408, ``, Verdict{Class: platform}},
		"410":             {410, ``, Verdict{Class: unknown}},
		"418":             {418, ``, Verdict{Class: bad}},
		"422 transient":   {422, `{"error":"Unprocessable Entity"}`, Verdict{Class: platform, Detail: "Unprocessable Entity"}},
		"423":             {423, ``, Verdict{Class: frozen}},
		"429":             {429, ``, Verdict{Class: limit}},
		"429 with a code": {429, `{"error":"invalid_grant"}`, Verdict{Class: limit, Code: "invalid_grant"}},
		"500 text":        {500, "Something went wrong. Please try again later.", Verdict{Class: platform, Detail: "Something went wrong. Please try again later."}},
		"500 broken json": {500, `{"error":"inval`, Verdict{Class: platform}},
		"500 prose":       {500, `could not store refresh token`, Verdict{Class: platform, Detail: "could not store refresh token"}},
		"502 html":        {502, htmlPage, Verdict{Class: platform, Detail: "an HTML page: Whoops & sorry"}},
		"503":             {503, ``, Verdict{Class: platform}},
		"599":             {599, ``, Verdict{Class: platform}},
		"304":             {304, ``, Verdict{Class: bad, Detail: "a redirect without a readable target"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Classify(Answer{Op: OpExchange, Status: tt.status, Body: []byte(tt.body)})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestClassifyIdentity(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		want   rotation.Class
	}{
		"shop":                {200, `{"shop":{"id":1,"myharavan_domain":"https://a.myharavan.com"}}`, ""},
		"no domain":           {200, `{"shop":{"id":1}}`, rotation.ClassBadAnswer},
		"domain of null":      {200, `{"shop":{"myharavan_domain":null}}`, rotation.ClassBadAnswer},
		"shop is a list":      {200, `{"shop":[]}`, rotation.ClassBadAnswer},
		"login page":          {200, htmlPage, rotation.ClassBadAnswer},
		"truncated":           {200, `{"shop":{"id":1,"myharavan_domain":"https://a.my`, rotation.ClassBadAnswer},
		"dead":                {401, ``, rotation.ClassUnauthorized},
		"dead in words":       {401, `{"errors":"[API] Invalid API key or access token"}`, rotation.ClassUnauthorized},
		"invalid_token":       {401, `{"error":"invalid_token"}`, rotation.ClassUnauthorized},
		"invalid_client":      {401, `{"error":"invalid_client"}`, rotation.ClassUnauthorized},
		"lacks scope":         {403, `{"errors":"requires read_shop"}`, rotation.ClassScope},
		"lacks scope, silent": {403, ``, rotation.ClassScope},
		"insufficient_scope":  {401, `{"error":"insufficient_scope"}`, rotation.ClassScope},
		"firewall":            {403, htmlPage, rotation.ClassBadAnswer},
		"gone in words":       {403, `{"errors":"App uninstalled"}`, rotation.ClassUninstalled},
		"unpaid":              {402, ``, rotation.ClassFrozen},
		"locked":              {423, ``, rotation.ClassFrozen},
		"unknown":             {404, htmlPage, rotation.ClassNotFound},
		"bad request":         {400, ``, rotation.ClassBadAnswer},
		"not allowed":         {405, ``, rotation.ClassBadAnswer},
		"transient":           {422, `{"error":"Unprocessable Entity"}`, rotation.ClassPlatform},
		"full":                {429, ``, rotation.ClassRateLimited},
		"down":                {503, htmlPage, rotation.ClassPlatform},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Classify(Answer{Op: OpIdentity, Status: tt.status, Body: []byte(tt.body)})
			if got.Class != tt.want {
				t.Errorf("class %q, want %q (%+v)", got.Class, tt.want, got)
			}
		})
	}
}

func TestClassifyRedirect(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]rotation.Class{
		"":                                  rotation.ClassBadAnswer,
		"::bad":                             rotation.ClassBadAnswer,
		"/":                                 rotation.ClassBadAnswer,
		"/admin/auth/login":                 rotation.ClassBadAnswer,
		"/password":                         rotation.ClassBadAnswer,
		"/reinstallation":                   rotation.ClassBadAnswer,
		"/admin/apps/install":               rotation.ClassUninstalled,
		"/Uninstalled":                      rotation.ClassUninstalled,
		"/admin/api/auth/?api_key=k":        rotation.ClassUninstalled,
		"/admin/oauth/authorize?client_id=": rotation.ClassUninstalled,
		"https://a.myharavan.com/admin/oauth/authorize":  rotation.ClassUninstalled,
		"https://accounts.haravan.com/install":           rotation.ClassUninstalled,
		"https://evil.com/install":                       rotation.ClassBadAnswer,
		"https://myharavan.com.evil.com/install":         rotation.ClassBadAnswer,
		"https://notmyharavan.com/install":               rotation.ClassBadAnswer,
		"mailto:install":                                 rotation.ClassBadAnswer,
		"https://accounts.haravan.com/connect/authorize": rotation.ClassBadAnswer,
	} {
		h := http.Header{}
		if target != "" {
			h.Set("Location", target)
		}
		for _, op := range []Op{OpExchange, OpIdentity} {
			got := Classify(Answer{Op: op, Status: 302, Header: h, Body: []byte(htmlPage)})
			if got.Class != want {
				t.Errorf("%s redirected to %q: %q (%s), want %q", op, target, got.Class, got.Detail, want)
			}
		}
	}
}

func TestClassifyBrokenOff(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		err    error
		want   rotation.Class
		cause  error
	}{
		"no answer":         {0, io.EOF, rotation.ClassNetwork, io.ErrUnexpectedEOF},
		"refused":           {0, syscall.ECONNREFUSED, rotation.ClassNetwork, syscall.ECONNREFUSED},
		"cancelled":         {0, context.Canceled, rotation.ClassNetwork, context.Canceled},
		"success truncated": {200, io.ErrUnexpectedEOF, rotation.ClassBadAnswer, io.ErrUnexpectedEOF},
		"success reset":     {200, syscall.ECONNRESET, rotation.ClassNetwork, syscall.ECONNRESET},
		"success late":      {200, context.DeadlineExceeded, rotation.ClassNetwork, context.DeadlineExceeded},
		"success too long":  {200, errTooLong, rotation.ClassBadAnswer, nil},
		"400 truncated":     {400, io.ErrUnexpectedEOF, rotation.ClassBadAnswer, io.ErrUnexpectedEOF},
		"404 too long":      {404, errTooLong, rotation.ClassNotFound, nil},
		"302 too long":      {302, errTooLong, rotation.ClassBadAnswer, nil},
		"429 truncated":     {429, io.ErrUnexpectedEOF, rotation.ClassRateLimited, io.ErrUnexpectedEOF},
		"500 truncated":     {500, io.ErrUnexpectedEOF, rotation.ClassPlatform, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Classify(Answer{
				Op: OpExchange, Status: tt.status, Err: tt.err, Header: http.Header{"Retry-After": {"2.0"}},
				Body: []byte(`{"error":"invalid_grant"}`), // must not be believed
			})
			if got.Class != tt.want || !cmp.Equal(got.Cause, tt.cause, cmpopts.EquateErrors()) {
				t.Errorf("got %q cause %v, want %q cause %v", got.Class, got.Cause, tt.want, tt.cause)
			}
			if wait := got.RetryAfter; (tt.status == 0 || tt.status == 200) != (wait == 0) {
				t.Errorf("RetryAfter %s of status %d", wait, tt.status)
			}
		})
	}
}

func TestClassifyMasksWhatTheTransportSays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"proxy: bad token hush-hush", "proxy: http://me:hush-hush@host is down"} {
		got := Classify(Answer{Op: OpExchange, Err: errors.New(text)}, secret.New("hush-hush"))
		if got.Class != rotation.ClassNetwork || !strings.Contains(got.Detail, "proxy") || strings.Contains(got.Detail, "hush") || got.Cause != nil {
			t.Errorf("%+v", got)
		}
	}
}

func TestClassifyRetryAfterDate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	got := Classify(Answer{
		Op: OpExchange, Status: 503, Date: now,
		Header: http.Header{"Retry-After": {"Sun, 22 Nov 2026 08:01:30 GMT"}},
	})
	if got.RetryAfter != 90*time.Second {
		t.Errorf("RetryAfter %s, want 90s by the platform's clock", got.RetryAfter)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, `{"access_token":"t"}`, "2.0", "/install")
	f.Add(400, `{"errors":{"a":[["b"]]}}`, "", "")
	f.Add(302, htmlPage, "-1", "//x")
	f.Add(500, "\xff\x00hush-hush-secret", "Sun, 22 Nov 2026 08:01:30 GMT", "")
	const value = "hush-hush-secret"
	f.Fuzz(func(t *testing.T, status int, body, retryAfter, location string) {
		h := http.Header{"Retry-After": {retryAfter}, "Location": {location}}
		for _, op := range []Op{OpExchange, OpIdentity} {
			a := Answer{Op: op, Status: status, Header: h, Body: []byte(body)}
			v := Classify(a, secret.New(value))
			if v.Class == "" && (status/100 != 2 || !a.succeeds()) {
				t.Fatalf("success from status %d, body %q", status, body)
			}
			if v.Class != "" && !v.Class.Valid() {
				t.Fatalf("class %q is none", v.Class)
			}
			if len(v.Detail) > maxDetail || strings.ContainsAny(v.Detail, "\n\r\x00\x1b") {
				t.Fatalf("detail %q", v.Detail)
			}
			if strings.Contains(v.Detail+v.Code, value) {
				t.Fatalf("detail %q, code %q repeat the secret", v.Detail, v.Code)
			}
			if v.RetryAfter < 0 || v.RetryAfter > outbound.MaxRetryAfter {
				t.Fatalf("retry after %s", v.RetryAfter)
			}
		}
	})
}
