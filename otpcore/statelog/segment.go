package statelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"
)

// version is part of every segment's name and of what it is sealed under.
const version = "v1"

// The copies of a segment, in the order in which they are stored.
var copies = [...]string{"a", "b"}

// name is what a segment is sealed under, so that none can stand in for another.
func (t *Target) name(seq uint64) string {
	return path.Join(t.Prefix, fmt.Sprintf("%s-%016x", version, seq))
}

func (t *Target) key(seq uint64, c int) string { return t.name(seq) + "." + copies[c] }

// parseKey reverses key.
func parseKey(key string) (seq uint64, c int, ok bool) {
	base := path.Base(key)
	if len(base) != len(version)+1+16+2 || base[:len(version)+1] != version+"-" {
		return 0, 0, false
	}
	seq, err := strconv.ParseUint(base[len(version)+1:len(base)-2], 16, 63)
	for c, suffix := range copies {
		if base[len(base)-2:] == "."+suffix {
			return seq, c, err == nil
		}
	}
	return 0, 0, false
}

// segment is one piece of the log: a head and blocks.
type segment struct {
	base  uint64    // the state is whole from this segment on
	doubt time.Time // until when the state is in doubt; zero: it is not
	slice int       // the first of the slices that are in it
	took  int       // how many they are
	body  []byte
}

func (s *segment) marshal() []byte {
	var doubt int64
	if !s.doubt.IsZero() {
		doubt = s.doubt.UnixMilli()
	}
	b := make([]byte, 0, len(s.body)+64)
	for _, v := range [...]int64{int64(s.base), doubt, int64(s.slice), int64(s.took)} {
		b = binary.AppendVarint(b, v)
	}
	return append(b, s.body...)
}

var errMalformed = errors.New("malformed segment")

func parseSegment(b []byte) (s segment, err error) {
	var head [4]int64
	for i := range head {
		v, n := binary.Varint(b)
		if n <= 0 || v < 0 {
			return s, errMalformed
		}
		head[i], b = v, b[n:]
	}
	if head[2] >= Slices || head[3] > Slices {
		return s, errMalformed
	}
	s = segment{base: uint64(head[0]), slice: int(head[2]), took: int(head[3]), body: b}
	if head[1] > 0 {
		s.doubt = time.UnixMilli(head[1])
	}
	return s, nil
}

// The body is a sequence of blocks: whose it is, a length, and bytes of its owner.
const (
	stateBlock = 0
	smallBlock = 1 // and upwards: one for each
)

func appendBlock(b []byte, owner int, content []byte) []byte {
	if len(content) == 0 {
		return b
	}
	b = append(b, byte(owner))
	b = binary.AppendUvarint(b, uint64(len(content)))
	return append(b, content...)
}

// blocks calls f for each block, oldest first.
func (s *segment) blocks(f func(owner int, content []byte) error) error {
	for b := s.body; len(b) > 0; {
		n, size := binary.Uvarint(b[1:])
		if size <= 0 || n > uint64(len(b)-1-size) {
			return errMalformed
		}
		end := 1 + size + int(n)
		if err := f(int(b[0]), b[1+size:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}
