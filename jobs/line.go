package jobs

import (
	"container/heap"
	"slices"
)

// place is where an item stands: in a run, at a position of its walk.
type place struct{ run, position int64 }

// line lets runs in by arrival, and within a run whoever stands first in its
// walk: batches of a wave are worked side by side, and a breach brings the
// important shops back first. It is not safe for concurrent use.
type line struct {
	// arrivals names the run of each who came, in the order of their coming.
	arrivals []int64
	runs     map[int64]*queue
	came     uint64
}

// turn is one who waits; let is what lets them in.
type turn struct {
	at   place
	came uint64
	// index in the run's queue, -1 once out of it.
	index int
	let   func()
}

func (l *line) len() int { return len(l.arrivals) }

func (l *line) join(at place, let func()) *turn {
	t := &turn{at: at, came: l.came, let: let}
	l.came++
	if l.runs == nil {
		l.runs = map[int64]*queue{}
	}
	if l.runs[at.run] == nil {
		l.runs[at.run] = &queue{}
	}
	heap.Push(l.runs[at.run], t)
	l.arrivals = append(l.arrivals, at.run)
	return t
}

// next takes one out and returns what lets them in. Somebody must be waiting.
func (l *line) next() (let func()) {
	run := l.arrivals[0]
	l.arrivals = l.arrivals[1:]
	let = heap.Pop(l.runs[run]).(*turn).let
	l.tidy(run)
	return let
}

// wait is join for one who waits for in to be closed.
func (l *line) wait(at place) (t *turn, in <-chan struct{}) {
	let := make(chan struct{})
	return l.join(at, func() { close(let) }), let
}

// leave takes t out, and reports false if it had its turn already.
func (l *line) leave(t *turn) bool {
	if t.index < 0 {
		return false
	}
	heap.Remove(l.runs[t.at.run], t.index)
	i := slices.Index(l.arrivals, t.at.run)
	l.arrivals = slices.Delete(l.arrivals, i, i+1)
	l.tidy(t.at.run)
	return true
}

// lines are of those who prove a token that is minted, who go first, and of those
// who would make another. They are not safe for concurrent use.
type lines struct{ proofs, exchanges line }

// of is the line to wait in.
func (l *lines) of(exchange bool) *line {
	if exchange {
		return &l.exchanges
	}
	return &l.proofs
}

func (l *lines) len() int { return l.proofs.len() + l.exchanges.len() }

// next takes one out and returns what lets them in, nil if nobody waits.
func (l *lines) next() (let func()) {
	switch {
	case l.proofs.len() > 0:
		return l.proofs.next()
	case l.exchanges.len() > 0:
		return l.exchanges.next()
	}
	return nil
}

func (l *line) tidy(run int64) {
	if l.runs[run].Len() == 0 {
		delete(l.runs, run)
	}
}

// queue is a heap of one run's turns.
type queue []*turn

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	if a, b := q[i].at.position, q[j].at.position; a != b {
		return a < b
	}
	return q[i].came < q[j].came
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(t any) {
	t.(*turn).index = len(*q)
	*q = append(*q, t.(*turn))
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.index = -1
	return t
}
