package caddymodule

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"go.uber.org/zap"
)

// phonebookPoll is how often the file is looked at: changes must be in force within 5 seconds.
const phonebookPoll = 2 * time.Second

// Phonebook says which phone belongs to which user.
type Phonebook struct {
	// Path, which may be a placeholder, of a CSV file with the columns user, phone and, if wanted, language.
	// Changes are picked up within 5 seconds; a broken new version leaves the
	// old one in force and is reported in the log.
	File string `json:"file,omitempty"`
	// Numbers by user, in place of a file. Values may be placeholders.
	Inline map[string]string `json:"inline,omitempty"`

	path    string // File, resolved
	current atomic.Pointer[directory]
	seen    fileVersion
}

// directory is one version of a phonebook, by canonical user.
type directory struct {
	entries map[string]phonebookEntry
	codes   []int            // calling codes, sorted
	written map[string]error // languages, and what is wrong with them
	// numbers are all numbers, for visitors who type theirs; made when first asked for.
	numbers func() map[otpcore.Number]bool
}

type phonebookEntry struct {
	number   otpcore.Number
	language string
	line     int
}

func (p *Phonebook) load() error {
	if (p.File == "") == (p.Inline == nil) {
		return errors.New("phonebook: name either a file or inline numbers")
	}
	if p.Inline != nil {
		return p.loadInline()
	}
	var err error
	if p.path, err = resolve("phonebook file", p.File); err != nil {
		return err
	}
	return p.loadFile()
}

func (p *Phonebook) loadInline() error {
	d := newDirectory()
	for user, written := range p.Inline {
		text, err := resolve("phonebook inline "+user, written)
		if err != nil {
			return err
		}
		if err := d.add(user, text, "", 0); err != nil {
			return fmt.Errorf("phonebook inline: %w", err)
		}
	}
	p.current.Store(d)
	return nil
}

func (p *Phonebook) loadFile() error {
	f, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("phonebook: %w; a file with a header line user,phone is needed", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		p.seen = versionOf(info)
	}
	d, err := readDirectory(f)
	if err != nil {
		return fmt.Errorf("phonebook %s: %w", p.path, err)
	}
	p.current.Store(d)
	return nil
}

// watch reloads the file when it changes, until ctx ends.
func (p *Phonebook) watch(ctx context.Context, log *zap.Logger) {
	tick := time.NewTicker(phonebookPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.refresh(log)
		}
	}
}

func (p *Phonebook) refresh(log *zap.Logger) {
	var now fileVersion
	if info, err := os.Stat(p.path); err == nil {
		now = versionOf(info)
	}
	if now == p.seen {
		return
	}
	p.seen = now
	if err := p.loadFile(); err != nil {
		log.Error("the phonebook was changed and cannot be read; the version before stays in force until it is corrected", zap.Error(err))
		return
	}
	log.Info("phonebook reloaded", zap.String("file", p.path), zap.Int("users", len(p.current.Load().entries)))
}

// fileVersion tells whether a file was changed. It is not certain to: a file
// that is written twice within one tick of the file system's clock, with the same length, looks
// the same. Such a version is told from the one before by settled.
type fileVersion struct {
	modified time.Time
	size     int64
	settled  bool
}

func versionOf(info os.FileInfo) fileVersion {
	return fileVersion{
		modified: info.ModTime(), size: info.Size(),
		settled: time.Since(info.ModTime()) > phonebookPoll,
	}
}

func newDirectory() *directory {
	d := &directory{entries: make(map[string]phonebookEntry), written: make(map[string]error)}
	d.numbers = sync.OnceValue(func() map[otpcore.Number]bool {
		numbers := make(map[otpcore.Number]bool, len(d.entries))
		for _, e := range d.entries {
			numbers[e.number] = true
		}
		return numbers
	})
	return d
}

func (d *directory) add(user, phone, language string, line int) error {
	name := otpcore.CanonicalUser(user)
	if name == "" {
		return errors.New("the user is missing")
	}
	number, err := otpcore.ParseNumber(phone)
	if err != nil {
		// Not the number itself: this goes to the log.
		return fmt.Errorf("the phone number of %q %w", user, err)
	}
	if first, twice := d.entries[name]; twice {
		return fmt.Errorf("user %q stands twice, first in line %d; upper and lower case count as one", user, first.line)
	}
	if err := d.checkLanguage(language); err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	d.entries[name] = phonebookEntry{number: number, language: language, line: line}
	code := number.CallingCode()
	if i, found := slices.BinarySearch(d.codes, code); !found {
		d.codes = slices.Insert(d.codes, i, code)
	}
	return nil
}

// checkLanguage asks once for each of the few languages that a phonebook names.
func (d *directory) checkLanguage(name string) error {
	err, asked := d.written[name]
	if !asked {
		err = checkLanguage(name)
		d.written[name] = err
	}
	return err
}

func readDirectory(f io.Reader) (*directory, error) {
	lines := csv.NewReader(f)
	lines.Comment, lines.TrimLeadingSpace, lines.FieldsPerRecord, lines.ReuseRecord = '#', true, -1, true
	user, phone, language, err := readHeader(lines)
	if err != nil {
		return nil, err
	}
	d := newDirectory()
	for {
		fields, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return d, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := lines.FieldPos(0)
		if len(fields) <= max(user, phone) {
			return nil, fmt.Errorf("line %d has %d columns, the header line has more", line, len(fields))
		}
		lang := ""
		if language >= 0 && language < len(fields) {
			lang = withoutComment(fields[language])
		}
		if err := d.add(fields[user], withoutComment(fields[phone]), lang, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// readLine reads the next line that is no comment, be it indented.
func readLine(lines *csv.Reader) ([]string, error) {
	for {
		fields, err := lines.Read()
		if err != nil || !strings.HasPrefix(fields[0], "#") {
			return fields, err
		}
	}
}

// withoutComment cuts off what an operator wrote behind a number or a language.
func withoutComment(field string) string {
	field, _, _ = strings.Cut(field, "#")
	return strings.TrimSpace(field)
}

var errHeader = errors.New("the first line must be the header user,phone or user,phone,language")

// readHeader returns the positions of the columns; language is -1 where there is none.
func readHeader(lines *csv.Reader) (user, phone, language int, err error) {
	header, err := readLine(lines)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, 0, err
	}
	user, phone, language = -1, -1, -1
	for i, name := range header {
		switch strings.ToLower(strings.Trim(name, "\ufeff \t")) {
		case "user":
			user = i
		case "phone":
			phone = i
		case "language":
			language = i
		default:
			return 0, 0, 0, errHeader // without the name: it may be somebody's number
		}
	}
	if user < 0 || phone < 0 {
		return 0, 0, 0, errHeader
	}
	return user, phone, language, nil
}

func (p *Phonebook) lookup(user string) (phonebookEntry, bool) {
	e, ok := p.current.Load().entries[user]
	return e, ok
}
