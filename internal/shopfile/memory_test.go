package shopfile

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// generator writes a list of n shops while it is read, every bad-th one bad.
type generator struct {
	n, bad, next int
	format       Format
	rest         []byte
	chunk        []byte
}

func (g *generator) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		if g.next > g.n {
			return 0, io.EOF
		}
		g.chunk = g.chunk[:0]
		if g.next == 0 && g.format == CSV {
			g.chunk = append(g.chunk, "domain,access_token,org_id\n"...)
		}
		g.next = max(g.next, 1)
		for range 500 {
			if g.next > g.n {
				break
			}
			token := "0cafe0cafe0cafe0cafe0cafe"
			if g.bad > 0 && g.next%g.bad == 0 {
				token = "0 cafe"
			}
			layout := "shop-%d.myharavan.com,%s%07d,%d\n"
			if g.format == JSONL {
				layout = `{"domain":"shop-%d.myharavan.com","access_token":"%s%07d","org_id":%d}` + "\n"
			}
			g.chunk = fmt.Appendf(g.chunk, layout, g.next, token, g.next, 200000000000+g.next)
			g.next++
		}
		g.rest = g.chunk
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryOfAMillionRows is not parallel: it measures the process's heap.
func TestMemoryOfAMillionRows(t *testing.T) {
	const limit = 2 << 20
	for format, rows := range map[Format]int{CSV: 1_000_000, JSONL: 250_000} {
		r := NewReader(&generator{n: rows, bad: 100, format: format}, ReadOptions{})
		var problems Problems
		good := 0
		var early, peak uint64
		for {
			_, err := r.Next()
			if err == io.EOF {
				break
			}
			if bad, ok := err.(*BadRow); ok {
				problems.Add(bad.Problems...)
			} else if err != nil {
				t.Fatal(err)
			} else {
				good++
			}
			if seen := good + problems.Total(); seen == 110_000 { // the kept problems are full
				early = heap()
			} else if seen%(rows/5) == 0 {
				peak = max(peak, heap())
			}
		}
		if good != rows-rows/100 || problems.Total() != rows/100 {
			t.Errorf("%s: %d rows and %d problems", format, good, problems.Total())
		}
		if peak > early+limit {
			t.Errorf("%s: heap grew from %d to %d bytes", format, early, peak)
		}
		runtime.KeepAlive(&problems)
	}
}

// TestMemoryOfAnEndlessLine feeds 64 MiB without a line end and then a row.
func TestMemoryOfAnEndlessLine(t *testing.T) {
	zeros := io.LimitReader(endless{}, 64<<20)
	in := io.MultiReader(bytes.NewBufferString("domain,access_token\na,\""), zeros, bytes.NewBufferString("\nb,t\n"))
	before := heap()
	rows, problems, err := readAll(t, in, CSV)
	if err != nil || len(rows) != 1 || len(problems) != 1 || rows[0].Line != 3 {
		t.Fatalf("rows %v, problems %v, error %v", rows, problems, err)
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func BenchmarkReader(b *testing.B) {
	for _, format := range []Format{CSV, JSONL} {
		b.Run(string(format), func(b *testing.B) {
			list, err := io.ReadAll(&generator{n: 10_000, format: format})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(bytes.NewReader(list), ReadOptions{})
				n := 0
				for {
					if _, err := r.Next(); err != nil {
						break
					}
					n++
				}
				if n != 10_000 {
					b.Fatalf("%d rows", n)
				}
			}
			b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
