package main

import (
	"context"
	"io"
)

// cancellable makes a reader's Read end with ctx. A Read under way is left to
// itself: a pipe cannot be woken.
func cancellable(ctx context.Context, r io.Reader) io.Reader {
	return &cancellableReader{ctx: ctx, from: r, done: make(chan piece, 1)}
}

// piece is what one Read of the inner reader gave.
type piece struct {
	n   int
	err error
}

type cancellableReader struct {
	ctx  context.Context
	from io.Reader
	buf  [64 << 10]byte
	left []byte // of buf, not yet given out
	err  error  // what comes after left
	done chan piece
}

// Read implements io.Reader.
func (r *cancellableReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 && r.err == nil {
		go func() {
			n, err := r.from.Read(r.buf[:])
			r.done <- piece{n, err}
		}()
		select {
		case got := <-r.done:
			r.left, r.err = r.buf[:got.n], got.err
		case <-r.ctx.Done():
			r.err = r.ctx.Err() // for good: buf belongs to the Read under way
		}
	}
	if len(r.left) == 0 {
		return 0, r.err
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}
