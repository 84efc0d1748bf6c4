package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/haravan-rotator/rotator/store"
)

// importSpec is what an import needs.
type importSpec struct {
	Access access `json:"access"`
	Rows   int    `json:"rows"`
}

// importing measures the import of a generated CSV into an empty database.
func (b *bench) importing(ctx context.Context, rows int) (result, error) {
	var r result
	f, remove, err := b.database(ctx)
	if err != nil {
		return r, err
	}
	defer remove()
	p, err := b.begin(ctx, "import", importSpec{f.access, rows})
	if err != nil {
		return r, err
	}
	if err := p.hear(&r); err != nil {
		return r, err
	}
	if err := p.end(); err != nil {
		return r, err
	}
	b.noteLeg("import", rows, r)
	return r, nil
}

func importPart(ctx context.Context, p partIO) error {
	var spec importSpec
	if err := p.in.Decode(&spec); err != nil {
		return err
	}
	s, pool, err := spec.Access.open(ctx, 4)
	if err != nil {
		return err
	}
	defer pool.Close()
	app, err := s.SetApp(ctx, actor, store.App{Name: "bench", ClientID: "bench"})
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := importGenerated(ctx, s, app, spec.Rows); err != nil {
		return err
	}
	took := time.Since(begin)
	stored, err := s.CountShops(ctx, app.ID)
	if err != nil {
		return err
	}
	if stored != spec.Rows {
		return fmt.Errorf("the leg does not count: %d of %d rows are stored", stored, spec.Rows)
	}
	r, err := used()
	if err != nil {
		return err
	}
	r.Seconds = took.Seconds()
	return p.out.Encode(r)
}

// importGenerated reads the list from a pipe, so that no list is held anywhere.
func importGenerated(ctx context.Context, s *store.Store, app store.App, rows int) error {
	from, to := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(to, 64<<10)
		_, err := fmt.Fprintln(out, "domain,access_token")
		for i := 0; err == nil && i < rows; i++ {
			_, err = fmt.Fprintf(out, "shop-%07d.myharavan.com,%064x\n", i, i+1)
		}
		if err == nil {
			err = out.Flush()
		}
		_ = to.CloseWithError(err) // never fails
	}()
	_, err := importList(ctx, s, app, 0, from)
	_ = from.Close() // ends the writer if the import failed
	return err
}
