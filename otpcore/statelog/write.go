package statelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// packed is how many bytes of slices go into a segment where the slices are
// small: the log of a small server is short, and no segment costs more than a block of a disk.
const packed = 4 << 10

// writer is what the log knows of what it has written. It belongs to the
// goroutine that writes.
type writer struct {
	target *Target
	doubt  time.Time

	seq     uint64         // of the segment to be written next
	present []uint64       // the segments that are there, oldest first
	swept   [Slices]uint64 // the segment that each slice was last written in
	slice   int            // to be written next
	anew    int            // how many slices are to be written without waiting for a change
	seen    []uint64       // the count of changes of everything small, as collected last

	body  []byte // collected and not yet stored
	took  int    // how many slices are in the body
	block []byte // scratch
}

func newWriter(small int) writer {
	w := writer{seq: 1, seen: make([]uint64, small)}
	w.sweptAt(1)
	return w
}

func (w *writer) sweptAt(seq uint64) {
	for i := range w.swept {
		w.swept[i] = seq
	}
}

// write stores what has changed, segment by segment.
func (l *Log) write(ctx context.Context, target *Target) error {
	if err := l.turnTo(ctx, target); err != nil {
		return err
	}
	for {
		full := l.collect()
		if len(l.body) > 0 {
			if err := l.store(ctx); err != nil {
				return err
			}
		}
		if !full && l.anew == 0 {
			return l.prune(ctx)
		}
	}
}

// turnTo begins to write to a target, all of it if that does not hold the log
// already, or not under this key.
func (l *Log) turnTo(ctx context.Context, target *Target) error {
	if l.target == target {
		return nil
	}
	same := l.target != nil && l.target.KeyID == target.KeyID
	if same {
		var err error
		if same, err = l.continues(ctx, target); err != nil {
			return err
		}
	}
	if !same {
		found, err := target.list(ctx)
		if err != nil {
			return err
		}
		l.seq, l.anew, l.present = max(l.seq, found.last()+1), Slices, found.seqs
	}
	l.target = target
	return nil
}

// continues tells whether the target holds what was written last.
func (l *Log) continues(ctx context.Context, target *Target) (bool, error) {
	if len(l.present) == 0 {
		found, err := target.list(ctx)
		return len(found.seqs) == 0, err
	}
	_, _, err := target.load(ctx, l.present[len(l.present)-1])
	if lost := new(damage); errors.As(err, &lost) {
		return false, nil
	}
	return err == nil, err
}

// collect adds what has changed to the body, and the slices whose turn it is. It
// tells whether there is more.
func (l *Log) collect() (full bool) {
	if room := segmentSize - len(l.body); room > 0 {
		l.block = l.state.AppendChanges(l.block[:0], room)
		l.body = appendBlock(l.body, stateBlock, l.block)
		full = len(l.block) >= room
	}
	for i, s := range l.small {
		if n := s.Changes(); n != l.seen[i] {
			l.seen[i] = n
			l.appendSmall(i)
		}
	}
	switch {
	case l.anew > 0:
		l.addSlices(l.anew, segmentSize-len(l.body))
	case len(l.body) > 0:
		l.addSlices(Slices, packed)
	}
	if len(l.body) == 0 && l.took > 0 {
		l.slicesStored() // of nothing nothing needs to be written
	}
	return full
}

// addSlices adds one slice, and more until they have the given number of bytes.
func (l *Log) addSlices(most, size int) {
	if l.took > 0 {
		return // they are there since a round that failed
	}
	l.block = l.block[:0]
	for ; l.took == 0 || l.took < most && len(l.block) < size; l.took++ {
		l.block = l.state.AppendSlice(l.block, (l.slice+l.took)%Slices)
		if (l.slice+l.took)%Slices == 0 {
			for i := range l.small {
				l.appendSmall(i)
			}
		}
	}
	l.body = appendBlock(l.body, stateBlock, l.block)
}

// appendSmall leaves out what cannot be marshalled: that would be a fault that writing again does not mend.
func (l *Log) appendSmall(i int) {
	if b, err := l.small[i].MarshalBinary(); err == nil {
		l.body = appendBlock(l.body, smallBlock+i, b)
	}
}

// slicesStored notes that the slices of the body are in the segment with the current number.
func (l *Log) slicesStored() {
	for ; l.took > 0; l.took-- {
		l.swept[l.slice] = l.seq
		l.slice = (l.slice + 1) % Slices
		l.anew = max(0, l.anew-1)
	}
}

// base is the first segment that is needed once the slices of the body are stored.
func (l *Log) base() uint64 {
	base := l.seq
	for i := range Slices - l.took {
		base = min(base, l.swept[(l.slice+l.took+i)%Slices])
	}
	return base
}

// store writes the body as one segment, both copies. Where that fails, the same
// segment is written again in the next round, with what came in meanwhile.
func (l *Log) store(ctx context.Context) error {
	if l.doubt.Before(time.Now()) {
		l.doubt = time.Time{}
	}
	s := segment{base: l.base(), doubt: l.doubt, slice: l.slice, took: l.took, body: l.body}
	sealed := l.target.Seal.Seal(s.marshal(), []byte(l.target.name(l.seq)))
	for c := range copies {
		if err := l.target.Place.Store(ctx, l.target.key(l.seq, c), sealed); err != nil {
			return fmt.Errorf("store segment: %w", err)
		}
	}
	l.slicesStored()
	l.present = append(l.present, l.seq)
	l.seq++
	l.body = l.body[:0]
	return nil
}

// prune deletes segments that are no longer needed. One that cannot be deleted is harmless.
func (l *Log) prune(ctx context.Context) error {
	for base := l.base(); len(l.present) > 0 && l.present[0] < base; l.present = l.present[1:] {
		for c := range copies {
			if err := l.target.Place.Delete(ctx, l.target.key(l.present[0], c)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("delete segment: %w", err)
			}
		}
	}
	return nil
}
