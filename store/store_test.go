package store_test

import (
	"context"
	"testing"

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
