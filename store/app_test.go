package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestAppIsChosenByNameOrBecauseItIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	choose := func(name, want, wantErr string) {
		t.Helper()
		a, err := db.Store.App(t.Context(), name)
		switch {
		case wantErr == "" && (err != nil || a.Name != want):
			t.Errorf("App(%q) = %q, %v", name, a.Name, err)
		case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)):
			t.Errorf("App(%q): error %v, want %q", name, err, wantErr)
		}
	}
	set := func(name string) {
		t.Helper()
		if _, err := db.SetApp(t.Context(), storetest.Actor, store.App{Name: name, ClientID: "id-" + name}); err != nil {
			t.Fatal(err)
		}
	}
	choose("", "", "rotator app set")
	set("one")
	choose("", "one", "")
	choose("one", "one", "")
	choose("two", "", "app two: not found")
	set("two")
	choose("", "", "2 apps are set: name one with --app")
	choose("two", "two", "")
}

func TestSetAppAgainChangesTheSameApp(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	grace := 90
	want := store.App{Name: "shopbot", ClientID: "one", Settings: store.AppSettings{
		APIURL: "https://{shop}", Scopes: []string{"read_orders"}, InFlight: 9, GraceSeconds: &grace, CheckSample: 5,
		Waves: &rotation.WavePolicy{Canary: 1, Shares: []float64{0.5}, Budget: 0.1},
	}}
	first, err := db.SetApp(t.Context(), storetest.Actor, want)
	if err != nil {
		t.Fatal(err)
	}
	want.ClientID = "two"
	second, err := db.SetApp(t.Context(), storetest.Actor, want)
	if err != nil || second.ID != first.ID {
		t.Fatalf("stored as %d and %d, %v", first.ID, second.ID, err)
	}
	got, err := db.AppByID(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	want.ID, want.CreatedAt = first.ID, got.CreatedAt
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("app (-want +got):\n%s", diff)
	}
	if got.Settings.Grace() != 90*time.Second || (store.AppSettings{}).Grace() != store.DefaultGrace {
		t.Error("the grace is not the one that was set")
	}
	if _, err := db.AppByID(t.Context(), first.ID+1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an app that does not exist: %v", err)
	}
}

func TestAnAppsNameIsChecked(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	for _, name := range []string{"", "Shop", "-x", "a b", strings.Repeat("x", 64)} {
		if _, err := db.SetApp(t.Context(), storetest.Actor, store.App{Name: name, ClientID: "id"}); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}
