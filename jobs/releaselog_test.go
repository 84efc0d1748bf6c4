package jobs_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// The database goes away in the middle of releasing a wave: the log tells of
// the release that was committed, and of no other.
func TestAReleaseThatWasNotCommittedIsNotLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 6})
	var log lockedBuffer
	r.log = slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), nil))
	_, err := r.db.Pool.Exec(r.ctx, `create sequence public.commits;
		create function public.fail_twice() returns trigger language plpgsql as $$ begin
			if new.released_at is not null and nextval('public.commits') <= 2 then raise 'no commit yet'; end if;
			return null;
		end $$;
		create constraint trigger fail_twice after update on rotator.waves deferrable initially deferred
			for each row execute function public.fail_twice()`)
	r.must(err)
	r.start(operate.StartOptions{})
	r.arm()
	stop := r.worker()
	r.until("proven", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven })
	stop()
	if n := strings.Count(log.String(), `msg="wave released" run=1 wave=1 `); n != 1 {
		t.Errorf("%d releases of the first wave are logged", n)
	}
}
