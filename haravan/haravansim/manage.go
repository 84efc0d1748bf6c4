package haravansim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const maxManageBody = 1 << 20

// Management is the dashboard and the test's hands, as JSON over HTTP. Errors
// are {"error": "words"}. Bodies are strict: an unknown field is an error.
//
//	GET  /healthz                        {"status","app","shops","now"}
//	GET  /shops?limit&after              JSON Lines of Shop; CSV domain,access_token
//	                                     with ?format=csv or Accept: text/csv, and
//	                                     legacy_token,legacy_password if there are
//	POST /shops {"domain"}               install: {"domain","code"}
//	GET  /shops/{domain}                 Shop with its ShopCounts
//	POST /shops/{domain}/uninstall       also freeze, thaw
//	POST /shops/{domain}/answer-as {"other"}
//	POST /shops/{domain}/token {"access_token"}   {"alive","version","scopes"}
//	GET  /secrets                        POST creates, POST /secrets/{version}/revoke
//	GET  /panel                          Panel; POST /panel/oauth switches the app
//	                                     to OAuth, POST /panel/test-app makes one
//	POST /refresh-tokens {"foreign"}     body optional; …/revoke {"value"}
//	POST /clock/advance {"duration"}     {"now"}
//	GET  /faults  PUT /faults            PUT replaces everything
//	GET  /knobs   PUT /knobs             fields left out mean their defaults
//	POST /script {"op","domain","faults"} or {"op","n","fault"}
//	POST /webhooks/sign                  the body's signature: {"signature","version"}
//	GET  /history?limit&after            {"calls"}; after is a seq
//	GET  /misuse  GET /counts
//	GET  /downtime                       {"shops"}: how long the last revoke left each
//	                                     shop without a working token
//
// A shop in /shops has been given a token or a legacy credential; one that only
// clicked install is not there yet, since the app could not have stored it.
func (s *Sim) Management() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(*http.Request) (any, error){
		"GET /healthz":                   s.manageHealth,
		"POST /shops":                    s.manageInstall,
		"GET /shops/{domain}":            s.manageShop,
		"POST /shops/{domain}/uninstall": s.manageState(s.Uninstall),
		"POST /shops/{domain}/freeze":    s.manageState(s.Freeze),
		"POST /shops/{domain}/thaw":      s.manageState(s.Thaw),
		"POST /shops/{domain}/answer-as": s.manageAnswerAs,
		"POST /shops/{domain}/token":     s.manageToken,
		"GET /secrets":                   s.manageSecrets,
		"POST /secrets":                  s.manageCreateSecret,
		"POST /secrets/{version}/revoke": s.manageRevokeSecret,
		"GET /panel":                     func(*http.Request) (any, error) { return s.Panel(), nil },
		"POST /panel/oauth":              func(*http.Request) (any, error) { return s.SwitchToOAuth(), nil },
		"POST /panel/test-app":           func(*http.Request) (any, error) { return s.CreateTestApp(), nil },
		"POST /refresh-tokens":           s.manageCreateRefresh,
		"POST /refresh-tokens/revoke":    s.manageRevokeRefresh,
		"POST /clock/advance":            s.manageAdvance,
		"GET /faults":                    func(*http.Request) (any, error) { return s.Faults(), nil },
		"PUT /faults":                    s.manageSetFaults,
		"GET /knobs":                     func(*http.Request) (any, error) { return s.Knobs(), nil },
		"PUT /knobs":                     s.manageSetKnobs,
		"POST /script":                   s.manageScript,
		"POST /webhooks/sign":            s.manageSign,
		"GET /history":                   s.manageHistory,
		"GET /misuse":                    s.manageMisuse,
		"GET /downtime":                  func(*http.Request) (any, error) { return map[string]any{"shops": s.Downtimes()}, nil },
		"GET /counts":                    func(*http.Request) (any, error) { return s.Counts(), nil },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxManageBody)
			body, err := handle(r)
			respond(w, body, err)
		})
	}
	mux.HandleFunc("GET /shops", s.manageShops)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		respond(w, nil, refusal{http.StatusNotFound, fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path)})
	})
	return mux
}

// refusal is an error with a status of its own; any other error is a 400.
type refusal struct {
	status int
	words  string
}

func (r refusal) Error() string { return r.words }

func respond(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		if r, ok := err.(refusal); ok {
			status = r.status
		}
		body = map[string]string{"error": err.Error()}
	}
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer could not be encoded"}`)
	}
	w.Header()["Content-Type"] = kindJSON
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that left is no error of ours
}

// readInto decodes the request's body, which may be empty only if optional.
func readInto(r *http.Request, into any, optional bool) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if len(data) == 0 && optional {
		return nil
	}
	return decodeStrict(data, into)
}

// numberIn reads a query parameter, 0 if it is absent.
func numberIn(r *http.Request, name string) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: use a whole number from 0 on", name, text)
	}
	return n, nil
}

func (s *Sim) manageHealth(*http.Request) (any, error) {
	return struct {
		Status string    `json:"status"`
		App    App       `json:"app"`
		Shops  int       `json:"shops"`
		Now    time.Time `json:"now"`
	}{"ok", s.app, s.size(), s.Now()}, nil
}

func (s *Sim) manageAdvance(r *http.Request) (any, error) {
	var in struct {
		Duration string `json:"duration"`
	}
	if err := readInto(r, &in, false); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(in.Duration)
	if err != nil {
		return nil, fmt.Errorf(`duration is %q: write for example "30m"`, in.Duration)
	}
	now, err := s.Advance(d)
	return map[string]time.Time{"now": now}, err
}

func (s *Sim) manageSetFaults(r *http.Request) (any, error) {
	var f Faults
	if err := readInto(r, &f, false); err != nil {
		return nil, err
	}
	if err := s.SetFaults(f); err != nil {
		return nil, err
	}
	return s.Faults(), nil
}

func (s *Sim) manageSetKnobs(r *http.Request) (any, error) {
	var k Knobs
	if err := readInto(r, &k, false); err != nil {
		return nil, err
	}
	if err := s.SetKnobs(k); err != nil {
		return nil, err
	}
	return s.Knobs(), nil
}

func (s *Sim) manageScript(r *http.Request) (any, error) {
	var in struct {
		Op     Op      `json:"op"`
		Domain string  `json:"domain"`
		Faults []Fault `json:"faults"`
		N      int     `json:"n"`
		Fault  Fault   `json:"fault"`
	}
	if err := readInto(r, &in, false); err != nil {
		return nil, err
	}
	switch {
	case in.Domain != "" && len(in.Faults) > 0 && in.N == 0 && in.Fault == "":
		return map[string]int{"scripted": len(in.Faults)}, s.Script(in.Domain, in.Op, in.Faults...)
	case in.Domain == "" && len(in.Faults) == 0 && in.Fault != "":
		return map[string]int{"scripted": in.N}, s.ScriptAny(in.Op, in.N, in.Fault)
	}
	return nil, fmt.Errorf("script either one shop (domain, op, faults) or whoever comes (op, n, fault)")
}

func (s *Sim) manageHistory(r *http.Request) (any, error) {
	limit, err := numberIn(r, "limit")
	if err != nil {
		return nil, err
	}
	after, err := numberIn(r, "after")
	if err != nil {
		return nil, err
	}
	calls := []Call{}
	for _, c := range s.History() {
		if c.Seq > after && (limit == 0 || uint64(len(calls)) < limit) {
			calls = append(calls, c)
		}
	}
	return map[string][]Call{"calls": calls}, nil
}

func (s *Sim) manageMisuse(*http.Request) (any, error) {
	return map[string][]string{"misuse": append([]string{}, s.Misuse()...)}, nil
}

func (s *Sim) manageSign(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	signature, version, err := s.SignWebhook(body)
	return map[string]any{"signature": signature, "version": version}, err
}
