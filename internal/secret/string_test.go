package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
)

const planted = "planted-b7c1f0e2d9"

// exposures are the ways in which a value may be held when it is printed.
func exposures(s String) map[string]any {
	type outer struct{ Token String }
	type hidden struct{ token String } // fmt calls no method of an unexported field
	type deep struct{ inner hidden }
	return map[string]any{
		"value":             s,
		"pointer":           &s,
		"slice":             []String{s},
		"array":             [1]String{s},
		"map":               map[string]String{"k": s},
		"field":             outer{s},
		"pointer to field":  &outer{s},
		"hidden field":      hidden{s},
		"pointer to hidden": &hidden{s},
		"nested hidden":     deep{hidden{s}},
		"any":               []any{s},
		"error":             fmt.Errorf("exchange %v: %w", s, errors.New("refused")),
	}
}

func TestNoWayOfPrintingShowsAString(t *testing.T) {
	t.Parallel()
	for name, v := range exposures(New(planted)) {
		for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "d", "b", "o", "c", "U", "e", "g", "t", "p", "T", "20.30s", "-5v", "w"} {
			mustNotShow(t, name+" with %"+verb, fmt.Sprintf("%"+verb, v))
		}
		mustNotShow(t, name+" with Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
		mustNotShow(t, name+" in an error", fmt.Errorf("%+v", v).Error())

		var text, js bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "k", v, slog.Group("g", "k", v))
		slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "k", v, slog.Group("g", "k", v))
		mustNotShow(t, name+" in slog text", text.String())
		mustNotShow(t, name+" in slog json", js.String())

		if b, err := json.Marshal(v); err == nil {
			mustNotShow(t, name+" in json", string(b))
		}
		if b, err := xml.Marshal(v); err == nil {
			mustNotShow(t, name+" in xml", string(b))
		}
		var page bytes.Buffer
		if err := template.Must(template.New("").Parse("{{.}} {{printf `%v` .}}")).Execute(&page, v); err == nil {
			mustNotShow(t, name+" in a template", page.String())
		}
	}
	if b, err := json.Marshal(map[string]String{"token": New(planted)}); err != nil || string(b) != `{"token":"[redacted]"}` {
		t.Errorf("json: %s, %v", b, err)
	}
}

func TestNoWayOfPrintingShowsAKeyring(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	for _, verb := range []string{"v", "+v", "#v", "s", "x", "d"} {
		if got := fmt.Sprintf("%"+verb, k); got != Redacted {
			t.Errorf("%%%s prints %d bytes of a keyring", verb, len(got))
		}
		if got := fmt.Sprintf("%"+verb, struct{ K *Keyring }{k}); len(got) > 60 {
			t.Errorf("%%%s prints %d bytes of a keyring in a struct", verb, len(got))
		}
	}
	if b, err := json.Marshal(k); err != nil || string(b) != `"[redacted]"` {
		t.Errorf("json: %d bytes, %v", len(b), err)
	}
	var js bytes.Buffer
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "k", k)
	if !strings.Contains(js.String(), `"k":"[redacted]"`) {
		t.Error("slog prints a keyring")
	}
}

func TestErrorsOfTheKeyringShowNoValue(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	sealed := mustSeal(t, k, planted, tokenColumn)
	for _, b := range [][]byte{sealed, sealed[:30], []byte(planted + planted + planted)} {
		_, err := k.Open(b, Column{Table: "items"})
		if err == nil {
			t.Fatal("opened")
		}
		mustNotShow(t, "Open", err.Error())
	}
}

func TestStringHoldsItsValue(t *testing.T) {
	t.Parallel()
	s := New(planted)
	if s.Reveal() != planted || s.IsZero() {
		t.Errorf("New lost the value")
	}
	if !New("").IsZero() || (String{}).Reveal() != "" {
		t.Error("New of nothing is not the zero String")
	}
	for _, tt := range []struct {
		a, b String
		want bool
	}{
		{New("a"), New("a"), true},
		{New("a"), New("b"), false},
		{New("a"), New("aa"), false},
		{New("a"), String{}, false},
		{String{}, New(""), true},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("Equal(%q, %q) = %v", tt.a.Reveal(), tt.b.Reveal(), got)
		}
	}
	if !cmp.Equal([]String{New("a")}, []String{New("a")}) {
		t.Error("cmp does not use Equal")
	}
}

func TestStringRefusesToBecomeAColumn(t *testing.T) {
	t.Parallel()
	v, err := New(planted).Value()
	if err == nil || v != nil {
		t.Fatalf("Value = %v, %v, want a refusal", v, err)
	}
	mustNotShow(t, "Value", err.Error())
}

// mustNotShow fails when got has the planted value, plainly or in hexadecimal.
func mustNotShow(t *testing.T, where, got string) {
	t.Helper()
	lower := strings.ToLower(got)
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("% x", planted)} {
		if strings.Contains(lower, form) {
			t.Errorf("%s shows the value: %s", where, got)
		}
	}
}
