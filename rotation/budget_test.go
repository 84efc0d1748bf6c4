package rotation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestBudgetsByClass(t *testing.T) {
	t.Parallel()
	type classes = map[rotation.Class]int
	p := rotation.WavePolicy{Budget: 0.25, Budgets: map[rotation.Class]float64{rotation.ClassPlatform: 0.05, rotation.ClassNetwork: 0}}
	tests := map[string]struct {
		failed classes
		want   []string
	}{
		"none":                             {nil, nil},
		"one never breaks a class either":  {classes{rotation.ClassNetwork: 1}, nil},
		"platform to the shop":             {classes{rotation.ClassPlatform: 2}, nil},
		"platform by one":                  {classes{rotation.ClassPlatform: 3}, []string{"3 of 40 shops failed as platform, 5 % are allowed"}},
		"a class without a budget":         {classes{rotation.ClassBadAnswer: 10}, nil},
		"overall by one":                   {classes{rotation.ClassBadAnswer: 11}, []string{"11 of 40 shops failed for reasons that are not theirs, 25 % are allowed"}},
		"several, none is broken together": {classes{rotation.ClassPlatform: 2, rotation.ClassNetwork: 1, rotation.ClassBadAnswer: 7}, nil},
		"overall and two classes": {classes{rotation.ClassPlatform: 9, rotation.ClassNetwork: 2}, []string{
			"11 of 40 shops failed for reasons that are not theirs, 25 % are allowed",
			"2 of 40 shops failed as network, 0 % are allowed", "9 of 40 shops failed as platform, 5 % are allowed",
		}},
	}
	for name, tt := range tests {
		w := rotation.WaveStatus{FailedBy: tt.failed, Counts: rotation.Counts{Total: 40}}
		for _, n := range tt.failed {
			w.Failed += n
		}
		if diff := cmp.Diff(tt.want, w.OverBudget(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestADeadShopHasNoBudget(t *testing.T) {
	t.Parallel()
	for _, c := range rotation.Classes {
		dead := c.ShopIsGone() || c == rotation.ClassScope || c == rotation.ClassRateLimited
		if c.MayBudget() == dead {
			t.Errorf("%s: MayBudget() = %t", c, c.MayBudget())
		}
	}
	if rotation.Class("nonsense").MayBudget() || rotation.Class("").MayBudget() {
		t.Error("what is no class has a budget")
	}
}

func TestABrokenBudgetNamesClassesAndShops(t *testing.T) {
	t.Parallel()
	w := failed(status(1, true, false, rotation.ItemProven, rotation.ItemRetrying, rotation.ItemRetrying, rotation.ItemParked, rotation.ItemParked), 4)
	w.FailedBy = map[rotation.Class]int{rotation.ClassNetwork: 1, rotation.ClassPlatform: 2, "": 1}
	w.Examples = []rotation.Example{{Domain: "a.myharavan.com"}, {Domain: "b.myharavan.com"}}
	got := rotation.Advance(snapshot(rotation.PhaseExchanging, withWaves(w, status(2, false, false, rotation.ItemPending))))
	if len(got) != 1 || got[0].Hold != rotation.HeldBreakerOpen {
		t.Fatalf("actions %+v", got)
	}
	const want = "4 of 10 shops failed for reasons that are not theirs, 25 % are allowed (2 Haravan failed to answer properly (5xx), 1 a new token that is not proven, 1 no answer from the host; for example a.myharavan.com, b.myharavan.com)"
	if !strings.HasSuffix(got[0].Why, want) {
		t.Errorf("why:\n%s\nwant it to end in\n%s", got[0].Why, want)
	}
}
