package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// runStatus is where a run stands at one moment. Its JSON is a contract, and
// what people are shown is made from it (statusView), so that both agree.
type runStatus struct {
	Run       int64          `json:"run"`
	Kind      rotation.Kind  `json:"kind"`
	Mode      rotation.Mode  `json:"mode"`
	App       string         `json:"app"`
	State     runState       `json:"state"`
	Phase     rotation.Phase `json:"phase"`
	PhaseAt   time.Time      `json:"phase_at"`
	StartedAt time.Time      `json:"started_at"`
	EndedAt   *time.Time     `json:"ended_at"`
	// At is when all this was so, by the database's clock.
	At      time.Time       `json:"at"`
	Held    *rotation.Held  `json:"held"`
	HeldWhy string          `json:"held_why,omitempty"`
	Window  statusWindow    `json:"window"`
	Items   rotation.Counts `json:"items"`
	Rate    statusRate      `json:"rate"`
	ETA     statusETA       `json:"eta"`
	// Burn holds the speed against the window; nil while a speed says nothing.
	Burn  *rotation.Burn   `json:"burn_down"`
	Worst []store.ItemInfo `json:"worst"`
	Next  rotation.Step    `json:"next"`
	// Verdict is nil when nobody measured, Health without a health URL.
	Verdict *statusVerdict   `json:"verdict"`
	Health  *rotation.Health `json:"health"`
	Wire    statusWire       `json:"wire"`

	Deliveries statusDeliveries `json:"deliveries"`

	Gate        []rotation.Condition `json:"gate"`
	Waves       []statusWave         `json:"waves"`
	Workers     []statusWorker       `json:"workers"`
	Certificate bool                 `json:"certificate"`
	// Revocation is the check after the revoke, from its phase on.
	Revocation *rotation.Revocation `json:"revocation,omitempty"`
	// Migration is a token migration's.
	Migration *rotation.Migration `json:"migration,omitempty"`

	// words name the app in what it says to type.
	words appWords
}

// runState tells whether a run can still move.
type runState string

const (
	runOpen      runState = "open"
	runClosed    runState = "closed"
	runCancelled runState = "cancelled"
)

// statusWindow is the refresh token's life; ExpiresAt is nil without one.
type statusWindow struct {
	ExpiresAt   *time.Time `json:"expires_at"`
	SecondsLeft float64    `json:"seconds_left"`
	Refused     bool       `json:"refused,omitempty"`
}

// statusRate is the speed of all live workers together.
type statusRate struct {
	ShopsPerS float64 `json:"shops_per_s"`
	InFlight  int     `json:"inflight"`
	// Limit is what the workers allow themselves now, Cap the run's setting.
	Limit int `json:"limit"`
	Cap   int `json:"cap"`
	// CallsPerS is the run's cap on calls per second, 0 for none.
	CallsPerS float64 `json:"cap_calls_per_s"`
	// Headroom is the percentage of each shop's bucket that is the app's.
	Headroom int `json:"headroom_percent"`
	// ThrottledBy names what limits the speed; empty when nothing is to be done.
	ThrottledBy string `json:"throttled_by"`
}

// statusETA is when the exchange will be done; nil when nobody knows.
type statusETA struct {
	P50        *time.Time `json:"p50"`
	P90        *time.Time `json:"p90"`
	FitsWindow *bool      `json:"fits_window"`
}

type statusWave struct {
	Number   int    `json:"number"`
	Name     string `json:"name"`
	Released bool   `json:"released"`
	Settled  bool   `json:"settled"`
	Failed   int    `json:"failed"`
	// FailedBy are the failed ones by class.
	FailedBy map[rotation.Class]int `json:"failed_by,omitempty"`
	Items    rotation.Counts        `json:"items"`
}

type statusWorker struct {
	ID          string    `json:"id"`
	Host        string    `json:"host"`
	PID         int       `json:"pid"`
	InFlight    int       `json:"inflight"`
	Limit       int       `json:"limit"`
	ShopsPerS   float64   `json:"shops_per_s"`
	ThrottledBy string    `json:"throttled_by"`
	HeartbeatAt time.Time `json:"heartbeat_at"`
}

// makeStatus puts together what was read at one moment. observed is the speed
// that the caller saw itself over a longer time, 0 for none.
func makeStatus(snap rotation.Snapshot, run store.Run, workers []store.WorkerInfo, observed float64) runStatus {
	st := runStatus{
		Run: run.ID, Kind: run.Kind, Mode: run.Mode, App: snap.App, State: stateOf(run),
		Phase: run.Phase, PhaseAt: snap.PhaseAt, StartedAt: run.CreatedAt.UTC(), At: snap.Now,
		Items: snap.Counts, Next: nextStep(snap), Gate: rotation.Gate(snap), Certificate: snap.Certificate,
		Worst: []store.ItemInfo{}, Waves: []statusWave{}, Workers: []statusWorker{}, Deliveries: deliveriesOf(snap.Deliveries),
	}
	if ended := cmp.Or(run.ClosedAt, run.CancelledAt); ended != nil {
		at := ended.UTC()
		st.EndedAt = &at
	}
	if !run.Open() || st.Gate == nil {
		st.Gate = []rotation.Condition{}
	}
	if run.Held != rotation.HeldNot && run.Open() {
		st.Held, st.HeldWhy = &run.Held, run.HeldWhy
	}
	if w := snap.Window; !w.ExpiresAt.IsZero() {
		st.Window = statusWindow{ExpiresAt: &w.ExpiresAt, SecondsLeft: w.Left(snap.Now).Round(time.Second / 10).Seconds(), Refused: w.Refused}
	}
	if run.Phase == rotation.PhaseRevoked || run.Phase == rotation.PhaseWebhooksSingle {
		st.Revocation = &snap.Revocation
	}
	if run.Kind == rotation.KindTokenMigration {
		st.Migration = &snap.Migration
	}
	for _, w := range snap.Waves {
		st.Waves = append(st.Waves, statusWave{w.Number, w.Name, w.Released, w.Settled, w.Failed, w.FailedBy, w.Counts})
	}
	for _, w := range workers {
		st.Workers = append(st.Workers, statusWorker{
			w.ID.String(), w.Host, w.PID, w.InFlight, w.Limit, tenths(w.ShopsPerS), w.ThrottledBy, w.HeartbeatAt.UTC(),
		})
	}
	st.Verdict, st.Health, st.Wire = verdictOf(snap), healthOf(snap), wireOf(run.Settings)
	st.Rate = st.rate(run)
	st.ETA = st.eta(snap, observed)
	if b, ok := rotation.Burning(snap, cmp.Or(observed, st.Rate.ShopsPerS)); ok && run.Open() && run.Kind == rotation.KindRotation {
		st.Burn = &b
	}
	return st
}

func stateOf(run store.Run) runState {
	switch {
	case run.CancelledAt != nil:
		return runCancelled
	case run.ClosedAt != nil:
		return runClosed
	}
	return runOpen
}

// tenths rounds a speed to what it is worth.
func tenths(v float64) float64 { return float64(int64(v*10+0.5)) / 10 }

func (st runStatus) rate(run store.Run) statusRate {
	r := statusRate{Cap: run.Settings.InFlight, CallsPerS: run.Settings.Rate, Headroom: run.Settings.HeadroomPercent()}
	var reasons []string
	for _, w := range st.Workers {
		r.ShopsPerS += w.ShopsPerS
		r.InFlight += w.InFlight
		r.Limit += w.Limit
		if w.ThrottledBy != "" && !slices.Contains(reasons, w.ThrottledBy) {
			reasons = append(reasons, w.ThrottledBy)
		}
	}
	r.ShopsPerS = tenths(r.ShopsPerS)
	switch {
	case st.State != runOpen:
	case st.Held != nil:
		r.ThrottledBy = string(*st.Held)
	case !st.calling():
	case len(st.Workers) == 0:
		r.ThrottledBy = "no worker"
	default:
		r.ThrottledBy = cmp.Or(st.heldBackBy(r.Limit), strings.Join(reasons, ", "))
	}
	return r
}

// heldBackBy names the wave that the rest of the fleet waits for, when its open
// shops are too few to keep the workers busy.
func (st runStatus) heldBackBy(limit int) string {
	if st.deriving() {
		return "" // derives all waves at once, and checks without any
	}
	for i, w := range st.Waves {
		if w.Settled {
			continue
		}
		if i+1 < len(st.Waves) && w.Items.Open() < limit {
			return "wave " + w.Name
		}
		break
	}
	return ""
}

// eta estimates from the workers' speed now, and from what was observed over a
// longer time; failing both, from the phase's whole time.
func (st runStatus) eta(snap rotation.Snapshot, observed float64) statusETA {
	working := st.State == runOpen && st.Held == nil && st.calling() && st.Phase != rotation.PhaseDerived
	if !working || len(st.Workers) == 0 {
		return statusETA{}
	}
	speeds := []float64{st.Rate.ShopsPerS, observed}
	if since := st.At.Sub(st.PhaseAt).Seconds(); since > 0 && st.Rate.ShopsPerS <= 0 && observed <= 0 {
		speeds = append(speeds, float64(st.Items.Settled())/since)
	}
	e, ok := rotation.EstimateLeft(st.Items.Open(), st.Items.Retrying+st.Items.Unknown, speeds...)
	if !ok {
		return statusETA{}
	}
	p50, p90 := st.At.Add(e.P50), st.At.Add(e.P90)
	if st.Kind != rotation.KindRotation {
		return statusETA{P50: &p50, P90: &p90}
	}
	fits := e.P90 <= snap.Window.Left(snap.Now)
	return statusETA{P50: &p50, P90: &p90, FitsWindow: &fits}
}

// nextStep is what happens next, with a command line that can be typed as it is
// but for the words in capitals.
func nextStep(snap rotation.Snapshot) rotation.Step {
	if waitsForCertificate(snap) {
		return rotation.Step{Why: snap.Counts.Words() + "; a worker is about to write the certificate"}
	}
	if c := snap.Counts; snap.Phase == rotation.PhaseExchanging && c.Total > 0 && c.Open() == 0 && c.Parked > 0 {
		snap.Workers = max(1, snap.Workers) // a worker could do nothing for parked shops
	}
	return typeable(rotation.Next(snap))
}

// why is the reason of the next step, for a page that shows the hold by itself:
// what to do must not stand at the end of what was read already.
func (st runStatus) why() string {
	if st.Held == nil {
		return st.Next.Why
	}
	said := fmt.Sprintf("held (%s): %s; ", *st.Held, st.HeldWhy)
	return strings.TrimPrefix(st.Next.Why, said)
}

func typeable(step rotation.Step) rotation.Step {
	step.Command = noted(step.Command)
	return step
}

// notePlaceholder stands for what only the operator knows.
const notePlaceholder = "HOW YOU KNOW"

// isPlaceholder reports whether somebody pasted a command as it was printed, with what
// stands in it for a note or a reason of theirs.
func isPlaceholder(words string) bool {
	return slices.ContainsFunc([]string{notePlaceholder, "TEXT", "…", "..."}, func(p string) bool { return strings.EqualFold(words, p) })
}

// noted completes a command line by the note that confirm wants.
func noted(command string) string {
	if strings.Contains(command, " confirm ") && !strings.Contains(command, " confirm closed") && !strings.Contains(command, " --note ") {
		return command + ` --note "` + notePlaceholder + `"`
	}
	return command
}

// waitsForCertificate: the gate to the revoke opens a moment after the phase
// was entered.
func waitsForCertificate(snap rotation.Snapshot) bool {
	return snap.Phase == rotation.PhaseProven && !snap.Cancelled && snap.Held == rotation.HeldNot && !snap.Certificate && snap.Workers > 0
}

// exitFor is the code with which something that followed the run ends: the run
// waits for a human, or is over.
func (st runStatus) exitFor() int {
	parked := st.Phase == rotation.PhaseExchanging && st.Held == nil && st.Items.Open() == 0 && st.Items.Parked > 0
	parked = parked || st.migrationParked()
	checked := st.Phase == rotation.PhaseRevoked || st.Phase == rotation.PhaseWebhooksSingle
	broken := checked && st.Revocation != nil && st.Revocation.Done() && st.Revocation.NewDead > 0
	switch {
	case st.State == runOpen && (parked || broken):
		return exitExceptions
	case st.Next.Human:
		return exitWaiting
	}
	return exitDone
}

// place is the phase with its place among the phases.
func (st runStatus) place() string {
	phases := rotation.CourseOf(st.Kind, st.Mode).Phases()
	return fmt.Sprintf("%s (%d of %d)", st.Phase, slices.Index(phases, st.Phase)+1, len(phases))
}
