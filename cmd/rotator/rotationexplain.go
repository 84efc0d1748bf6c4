package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRunExplain(c *cli, k rotation.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [DOMAIN]", Short: "Say why the run, or one shop, is not done, and what to do",
		Long: `Say where the run or one shop stands, why it is not done, and the next safe action.

JSON of a run: one object {run, app, state, phase, held, held_why, unmet[{name,
met, evidence}], exceptions[{state, class, words, shops}], next{command, why,
human}}. JSON of a shop: one object {run, shop{position, domain, state, class,
detail, attempt, latency_ms, claimed_at, exchanged_at, proven_at, next_attempt_at,
old_token_dead, new_token_alive}, words, next{command, why, human}, delivery}.
delivery is an object as of rotator delivery list, or null.`,
		Example: "  rotator rotation explain\n  rotator rotation explain some-shop",
		Args:    mayTake("DOMAIN"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	run := c.runFlags(cmd, k)
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.explainRun(cmd.Context(), o) })
		}
		shop, err := domain(cmd, args[0])
		if err != nil {
			return err
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.explainShop(cmd.Context(), o, shop) })
	}
	return speak(k, cmd)
}

func (c *cli) explainRun(ctx context.Context, o onRun) error {
	st, err := o.where(ctx)
	if err != nil {
		return err
	}
	counts, err := o.store.ClassCounts(ctx, o.run.ID)
	if err != nil {
		return err
	}
	unmet := []rotation.Condition{}
	for _, cond := range st.Gate {
		if !cond.Met {
			unmet = append(unmet, cond)
		}
	}
	if c.asJSON {
		return c.printJSON(struct {
			Run        int64                `json:"run"`
			App        string               `json:"app"`
			State      runState             `json:"state"`
			Phase      rotation.Phase       `json:"phase"`
			Held       *rotation.Held       `json:"held"`
			HeldWhy    string               `json:"held_why,omitempty"`
			Unmet      []rotation.Condition `json:"unmet"`
			Exceptions []exception          `json:"exceptions"`
			Next       rotation.Step        `json:"next"`
		}{st.Run, st.App, st.State, st.Phase, st.Held, st.HeldWhy, unmet, exceptions(st.Kind, counts), st.Next})
	}
	if err := c.printStep(st); err != nil {
		return err
	}
	for _, cond := range unmet {
		if err := c.printf("not met: %s: %s\n", cond.Name, printable(cond.Evidence)); err != nil {
			return err
		}
	}
	for _, e := range exceptions(st.Kind, counts) {
		if err := c.printf("%s %s: %s\n", plural(e.Shops, "shop"), e.State, e.Words); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) explainShop(ctx context.Context, o onRun, shop string) error {
	item, err := o.item(ctx, shop)
	if err != nil {
		return err
	}
	st, err := o.where(ctx)
	if err != nil {
		return err
	}
	words, next := explainItem(item, st)
	if leftOut(item) {
		stored, err := o.store.Shop(ctx, o.app.ID, shop)
		if err != nil {
			return err
		}
		if stored.ExcludedReason == "" {
			words, next = "an operator left it out, and took it in again", rotation.Step{Why: "the next run takes it up"}
			if st.State == runOpen && !settledForGood(st.Phase) {
				next.Why = "it is taken up when the others are settled"
			}
		}
	}
	if words, next, err = o.explainSpared(ctx, shop, st, words, next); err != nil {
		return err
	}
	delivery, next, err := o.explainDelivery(ctx, shop, st, next)
	if err != nil {
		return err
	}
	next = o.words.step(next)
	if c.asJSON {
		return c.printJSON(struct {
			Run      int64               `json:"run"`
			Shop     store.ItemInfo      `json:"shop"`
			Words    string              `json:"words"`
			Next     rotation.Step       `json:"next"`
			Delivery *store.DeliveryInfo `json:"delivery"`
		}{st.Run, item, words, next, delivery})
	}
	class, attempt := "", ""
	if item.Class != "" {
		class = fmt.Sprintf("%s: %s", item.Class, item.Class.Words())
	}
	if item.Attempt > 0 {
		attempt = strconv.Itoa(item.Attempt)
	}
	command := next.Command
	if command == "" {
		command = "nothing to do"
	}
	return c.printFacts(
		fact{"shop", item.Domain},
		fact{"state", fmt.Sprintf("%s: %s", item.State, words)},
		fact{"last outcome", class},
		fact{"detail", item.Detail},
		fact{"attempts", attempt},
		fact{"next attempt", moment(item.NextAttemptAt)},
		fact{"exchanged", moment(item.ExchangedAt)},
		fact{"proven", moment(item.ProvenAt)},
		fact{"app", deliveryWords(delivery)},
		fact{"next", command},
		fact{"why", next.Why},
	)
}

// explainSpared tells of a shop that waits in a breach for its exchange that it is
// down only until the app has the token that an earlier run made.
func (o onRun) explainSpared(ctx context.Context, shop string, st runStatus, words string, next rotation.Step) (string, rotation.Step, error) {
	if !o.contained() || settledForGood(st.Phase) {
		return words, next, nil
	}
	spared, since, err := o.store.Spared(ctx, o.run.ID, shop)
	if err != nil || !spared {
		return words, next, err
	}
	words += "; its token is of the new secret already, and outlives the revoke"
	if since > 0 && !strings.Contains(next.Why, "--changed-since") {
		next.Why = fmt.Sprintf("an earlier run made its token: load it into the app, for which the shop is down until then (`rotator shop export --changed-since %d --output FILE`); %s", since, next.Why)
	}
	return words, next, nil
}

// item is the run's item for a shop that a command line named.
func (o onRun) item(ctx context.Context, shop string) (store.ItemInfo, error) {
	item, err := o.store.Item(ctx, o.run.ID, shop)
	if errors.Is(err, store.ErrNotFound) {
		return item, o.notInRun(ctx, shop)
	}
	return item, err
}

// notInRun tells a stored shop that the run has not met from an unknown one.
func (o onRun) notInRun(ctx context.Context, shop string) error {
	if _, err := o.store.Shop(ctx, o.app.ID, shop); err != nil {
		return exitWith(exitFailed, err, "`rotator shop list` shows the stored shops")
	}
	next := "a worker takes it in: rotator worker"
	switch {
	case !o.run.Open():
		next = "the run is over; the next one takes it in"
	case settledForGood(o.run.Phase):
		next = "the run takes no shop in any more; the next one takes it in"
	}
	return exitWith(exitFailed, fmt.Errorf("shop %s is stored, but not in run %d yet", shop, o.run.ID), next)
}

// settledForGood reports whether the run takes no shop up any more.
func settledForGood(p rotation.Phase) bool {
	switch p {
	case rotation.PhaseRevoked, rotation.PhaseWebhooksSingle, rotation.PhaseScrubbed, rotation.PhaseClosed:
		return true
	}
	return false
}

// leftOut reports whether the run skipped the shop because it was excluded.
func leftOut(i store.ItemInfo) bool {
	return i.State == rotation.ItemSkipped && strings.HasPrefix(i.Detail, "excluded: ") && !strings.HasSuffix(i.Detail, store.Bereft)
}

// retries reports whether the run still takes up shops that were set aside.
func retries(st runStatus) bool {
	switch st.Phase {
	case rotation.PhaseExchanging, rotation.PhaseProven, rotation.PhaseCutover:
		return st.State == runOpen
	}
	return false
}

// leftBehind says what the state of a shop means that its run left unsettled.
var leftBehind = map[rotation.ItemState]string{
	rotation.ItemPending:   "nobody had tried it when the run ended",
	rotation.ItemClaimed:   "a worker was at it when the run ended",
	rotation.ItemExchanged: "it had a token that was not proven yet when the run ended",
	rotation.ItemRetrying:  "it had failed in a way that passes when the run ended",
	rotation.ItemUnknown:   "the platform may have made a token whose answer was lost when the run ended",
	rotation.ItemParked:    "it had failed, or was not proven yet, when the run ended",
}

// mayBeLost reports whether the platform may have made a token for the shop that
// nobody holds.
func mayBeLost(i store.ItemInfo, st runStatus) bool { return i.Acted && !st.migrating() }

// explainItem says what a shop's state means, and what may be done about it.
func explainItem(i store.ItemInfo, st runStatus) (words string, next rotation.Step) {
	if words := leftBehind[i.State]; words != "" && (st.State == runCancelled || st.State == runClosed) {
		if i.State == rotation.ItemUnknown && !mayBeLost(i, st) {
			words = "it was due again when the run ended"
		}
		return words, st.Next // no command acts on the shop any more
	}
	noun := "rotator " + st.Kind.Noun()
	retry := rotation.Step{
		Command: noun + " retry " + i.Domain, Human: true,
		Why: "mend the cause, then try it again; or accept it: `" + noun + " waive " + i.Domain + " --reason TEXT`",
	}
	follow := rotation.Step{Why: "the run takes care of it"}
	if st.Held != nil || st.Next.Human {
		follow = st.Next // the shop waits for what the run waits for
	}
	switch i.State {
	case rotation.ItemPending:
		return "nobody has tried it yet", follow
	case rotation.ItemClaimed:
		return "a worker is at it", follow
	case rotation.ItemExchanged:
		if st.deriving() {
			return "its derived token is stored, nothing uses it yet", follow
		}
		return "its new token is stored, the proof is due", follow
	case rotation.ItemRetrying:
		if i.Class == rotation.ClassRateLimited && follow.Command == "" {
			follow.Why += " when its pause is over; to call it at once: `" + noun + " retry --shop " + i.Domain + " --ignore-cooldown`"
		}
		return "it failed in a way that passes, and is tried again", follow
	case rotation.ItemUnknown:
		if !mayBeLost(i, st) {
			return "it was tried before, and is due again", follow
		}
		return "the platform may have made a token whose answer was lost; it is exchanged again", follow
	case rotation.ItemParked:
		return "a human must look", retry
	case rotation.ItemSkipped:
		if strings.HasSuffix(i.Detail, store.Bereft) {
			return "an operator left it out, and no credential of it is stored any more", rotation.Step{Why: "the merchant installs the app again"}
		}
		if leftOut(i) {
			return "an operator left it out", rotation.Step{Why: "to take it in again: `rotator shop exclude " + i.Domain + " --undo`"}
		}
		again := rotation.Step{Why: "if it should have one, the merchant installs the app again"}
		if i.Class != "" && retries(st) {
			again.Why = "if that is wrong, or over by now, it can be tried again: `" + noun + " retry " + i.Domain + "`"
		}
		return "it needs no token", again
	case rotation.ItemWaived:
		return "accepted as it is", rotation.Step{Why: "an operator decided it"}
	}
	if i.OldDead != nil && !*i.OldDead && (i.NewAlive == nil || *i.NewAlive) {
		return "its new token is current and was proven, but its old one still answers after the revoke", nextOldAlive(i, st)
	}
	if i.NewAlive != nil && !*i.NewAlive && i.OldDead != nil && !*i.OldDead {
		return "its new token was proven, but is dead after the revoke, and its old one still answers", rotation.Step{
			Command: noun + " next", Human: true,
			Why: "it may be that the new secret was revoked instead of the old one: revoke nothing before you have read what is next",
		}
	}
	if i.NewAlive != nil && !*i.NewAlive {
		return "its new token was proven, but is dead after the revoke", rotation.Step{
			Command: noun + " report", Human: true,
			Why: "send the merchant the re-install link, then: `" + noun + " waive " + i.Domain + " --reason TEXT`",
		}
	}
	return "its new token is current and was proven", rotation.Step{Why: "nothing is left to do for it"}
}

// nextOldAlive is about a shop whose former token answers after the revoke, which is
// confirmed again in its own phase only. After that a token that was made late can
// have asked for the look.
func nextOldAlive(i store.ItemInfo, st runStatus) rotation.Step {
	noun := "rotator " + st.Kind.Noun()
	waive := noun + " waive " + i.Domain + " --reason TEXT"
	switch {
	case st.State != runOpen:
		return rotation.Step{Why: "the run is over; if the old secret is not revoked, revoke it"}
	case st.Phase != rotation.PhaseRevoked:
		return rotation.Step{Command: waive, Human: true, Why: "if its former token was of the new secret already; if the old secret is not revoked, revoke it"}
	}
	return rotation.Step{
		Command: noun + " confirm revoked --confirm " + st.App, Human: true,
		Why: "if the old secret is revoked by now, say so again; if its former token was of the new secret already: `" + waive + "`",
	}
}
