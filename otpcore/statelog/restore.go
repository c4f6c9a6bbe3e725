package statelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Report is what Restore found.
type Report struct {
	Segments int      // how many were taken back
	Mended   []string // segments of which one copy was damaged or missing; nothing is lost
	Lost     []string // segments that nobody can read
	// Doubt is until when counters may be missing, since a segment was lost now or before; zero: none are.
	Doubt time.Time
}

// Restore takes the state back from t. Where a segment is lost, what the others
// hold is taken back, and the state is in doubt for the given time: as long
// as the longest of its counters counts. An error means that nothing can be
// said: the place could not be read.
func (l *Log) Restore(ctx context.Context, t Target, horizon time.Duration) (Report, error) {
	var r Report
	found, err := t.list(ctx)
	if err != nil {
		return r, err
	}
	newest, err := l.findNewest(ctx, &t, &found, &r)
	if err != nil {
		return r, err
	}
	if newest != nil {
		if err := l.replay(ctx, &t, found.last(), newest, &r); err != nil {
			return r, err
		}
	}
	if len(r.Lost) > 0 {
		l.doubt = later(l.doubt, time.Now().Add(horizon))
	}
	if l.doubt.After(time.Now()) {
		r.Doubt = l.doubt
	}
	// What is damaged is written anew, as soon as there is a place to write to.
	if len(r.Lost) == 0 {
		l.target, l.seq, l.present = &t, found.last()+1, found.seqs
	}
	for _, key := range found.litter {
		_ = t.Place.Delete(ctx, key) // the next start tries again
	}
	return r, nil
}

// findNewest reads the newest segment that can be read, and takes those after it off what was found.
func (l *Log) findNewest(ctx context.Context, t *Target, found *listing, r *Report) (*segment, error) {
	for torn := found.torn; len(found.seqs) > 0; torn = false {
		seq := found.last()
		s, mended, err := t.load(ctx, seq)
		var lost *damage
		switch {
		case err == nil:
			r.mended(t, seq, mended)
			return &s, nil
		case !errors.As(err, &lost):
			return nil, err
		case !torn: // or else the crash came while the first copy was written
			r.Lost = append(r.Lost, t.name(seq))
		}
		found.seqs = found.seqs[:len(found.seqs)-1]
	}
	return nil, nil
}

// replay takes back everything from the newest segment's base on.
func (l *Log) replay(ctx context.Context, t *Target, last uint64, newest *segment, r *Report) error {
	small := make([][]byte, len(l.small))
	l.sweptAt(newest.base)
	for seq := newest.base; seq <= last; seq++ {
		s, mended, err := *newest, false, error(nil)
		if seq < last {
			s, mended, err = t.load(ctx, seq)
		}
		if err == nil {
			err = l.replaySegment(&s, small)
		}
		var lost *damage
		if errors.As(err, &lost) {
			r.Lost = append(r.Lost, t.name(seq))
			continue
		}
		if err != nil {
			return err
		}
		for i := range s.took {
			l.swept[(s.slice+i)%Slices] = seq
		}
		l.slice = (s.slice + s.took) % Slices
		r.Segments++
		r.mended(t, seq, mended)
	}
	l.doubt = newest.doubt
	for i, b := range small {
		if b != nil && l.small[i].UnmarshalBinary(b) != nil {
			r.Lost = append(r.Lost, fmt.Sprintf("%s (part %d)", t.Prefix, smallBlock+i))
		}
		l.seen[i] = l.small[i].Changes()
	}
	return nil
}

// replaySegment takes back a segment's state; of what is small only the newest counts.
func (l *Log) replaySegment(s *segment, small [][]byte) error {
	err := s.blocks(func(owner int, content []byte) error {
		switch i := owner - smallBlock; {
		case owner == stateBlock:
			return l.state.Restore(content)
		case i < len(small):
			small[i] = slices.Clone(content)
		}
		return nil // what a newer version wrote besides
	})
	if err != nil {
		return &damage{err}
	}
	return nil
}

func (r *Report) mended(t *Target, seq uint64, mended bool) {
	if mended {
		r.Mended = append(r.Mended, t.name(seq))
	}
}

// listing is what lies in a target.
type listing struct {
	seqs   []uint64 // of segments, oldest first
	torn   bool     // of the last there is only the copy that is written first
	litter []string
}

func (f *listing) last() uint64 {
	if len(f.seqs) == 0 {
		return 0
	}
	return f.seqs[len(f.seqs)-1]
}

func (t *Target) list(ctx context.Context) (found listing, err error) {
	keys, err := t.Place.List(ctx, t.Prefix, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, fmt.Errorf("list segments: %w", err)
	}
	there := map[uint64][len(copies)]bool{}
	for _, key := range keys {
		if seq, c, ok := parseKey(key); ok {
			which := there[seq]
			which[c] = true
			there[seq] = which
		} else if strings.Trim(path.Base(key), "0123456789") == "" {
			// What a file storage calls a value while it is being written.
			found.litter = append(found.litter, key)
		}
	}
	found.seqs = slices.Sorted(maps.Keys(there))
	found.torn = there[found.last()] == [...]bool{true, false}
	return found, nil
}

// longestLog is more segments than a log ever has.
const longestLog = 1 << 16

// damage means that a segment cannot be read, whatever is tried.
type damage struct{ err error }

func (d *damage) Error() string { return d.err.Error() }

// load reads the first copy of a segment that can be read. Mended tells that an earlier one cannot.
func (t *Target) load(ctx context.Context, seq uint64) (s segment, mended bool, err error) {
	for c := range copies {
		var copyErr error
		if s, copyErr = t.loadCopy(ctx, seq, c); copyErr == nil {
			return s, c > 0, nil
		}
		// A place that cannot be read now may hold a good copy: that outweighs a bad one.
		if lost := new(damage); err == nil || errors.As(err, &lost) {
			err = copyErr
		}
	}
	return s, false, err
}

func (t *Target) loadCopy(ctx context.Context, seq uint64, c int) (segment, error) {
	key := t.key(seq, c)
	sealed, err := t.Place.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return segment{}, &damage{err}
	}
	if err != nil {
		return segment{}, fmt.Errorf("load %s: %w", key, err)
	}
	b, err := t.Seal.Open(sealed, []byte(t.name(seq)))
	if err != nil {
		return segment{}, &damage{err}
	}
	s, err := parseSegment(b)
	if err != nil || s.base > seq || seq-s.base > longestLog {
		return segment{}, &damage{errors.Join(err, errMalformed)}
	}
	return s, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
