package store_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestEveryStatementPrepares(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	conn, err := db.Pool.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	all := store.Statements(t)
	if len(all) < 50 {
		t.Fatalf("only %d statements are registered", len(all))
	}
	for _, s := range all {
		if _, err := conn.Conn().Prepare(context.Background(), "", s); err != nil {
			t.Errorf("%v\n%s", err, s)
		}
	}
}

// As PgBouncer 1.18 answers.
func TestAConnectionPoolerIsCalledOne(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			pooler := pgproto3.NewBackend(conn, conn)
			if _, err := pooler.ReceiveStartupMessage(); err == nil {
				pooler.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: plan_cache_mode"})
				_ = pooler.Flush()
			}
			_ = conn.Close()
		}
	}()
	_, err = store.Connect(t.Context(), secret.New("postgres://u@"+l.Addr().String()+"/x?sslmode=disable"), "test", 2)
	if err == nil || !strings.Contains(err.Error(), "plan_cache_mode") || !strings.Contains(err.Error(), "the PostgreSQL behind it") {
		t.Errorf("error %v", err)
	}
}

// It is tried with TLS and without.
func TestAServerThatIsAwayIsSaidOnce(t *testing.T) {
	t.Parallel()
	_, err := store.Connect(t.Context(), secret.New("postgres://u@127.0.0.1:1/x"), "test", 2)
	if err == nil || strings.Count(err.Error(), "refused") != 1 {
		t.Errorf("error %v", err)
	}
}
