package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"rollcage/internal/respond/disk"
)

// Token is a static token as it is kept: without its secret, of which there is
// only a hash. The secret is 256 bits of chance, so a plain SHA-256 is enough.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"sha256,omitempty"` // of the whole token, in hexadecimal
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // never if zero
	By      string    `json:"by,omitempty"`     // who made it
}

// Expired reports whether the token's time is over.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// tokenPrefix begins every token, so that those who look for lost secrets know it.
const tokenPrefix = "rollcage_"

// Tokens is the file of static tokens (docs/api.md). Several processes may
// change it at the same time; changes hold at once. Its methods may be called by
// many goroutines.
type Tokens struct {
	path string

	mu   sync.Mutex
	seen os.FileInfo // of the file that list is from
	list []Token
}

// NewTokens returns the tokens in a file, which need not exist.
func NewTokens(path string) *Tokens { return &Tokens{path: path} }

// ErrNoToken says that there is no token with that ID or name.
var ErrNoToken = errors.New("no such token")

// List returns the tokens, the oldest first.
func (t *Tokens) List() ([]Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(); err != nil {
		return nil, err
	}
	return append([]Token{}, t.list...), nil
}

// load reads the file if it is another one than before. It is called with mu held.
func (t *Tokens) load() error {
	st, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		t.list, t.seen = nil, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	// A change is always a new file, see disk.Replace.
	if t.seen != nil && os.SameFile(st, t.seen) && st.ModTime().Equal(t.seen.ModTime()) && st.Size() == t.seen.Size() {
		return nil
	}
	b, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	var list []Token
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("tokens: %s: %w", t.path, err)
	}
	t.list, t.seen = list, st
	return nil
}

// Create makes a token and returns it with its secret, which nobody can get
// again. A zero expires is never.
func (t *Tokens) Create(name string, role Role, expires time.Time, by string) (secret string, made Token, err error) {
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", made, errors.New("a token needs a name of 1 to 100 characters, so that one knows whose it is")
	}
	if role < Viewer || role > Admin {
		return "", made, errors.New("a token needs a role: viewer, responder, admin")
	}
	now := time.Now()
	if !expires.IsZero() && !expires.After(now) {
		return "", made, errors.New("the token would be expired already")
	}
	var id [4]byte
	var chance [32]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(chance[:])
	made = Token{ID: hex.EncodeToString(id[:]), Name: name, Role: role, Created: now.UTC().Truncate(time.Second), Expires: expires, By: by}
	secret = tokenPrefix + made.ID + "_" + hex.EncodeToString(chance[:])
	made.Hash = hashOf(secret)
	err = t.change(func(list []Token) ([]Token, error) {
		for _, o := range list {
			if o.Name == name {
				return nil, fmt.Errorf("there is a token %q already; revoke it first", name)
			}
		}
		return append(list, made), nil
	})
	return secret, made, err
}

// Revoke removes the token with that ID or name, and returns it. Sessions that
// began with it end too.
func (t *Tokens) Revoke(which string) (gone Token, err error) {
	err = t.change(func(list []Token) ([]Token, error) {
		for i, o := range list {
			if o.ID == which || o.Name == which {
				gone = o
				return append(list[:i:i], list[i+1:]...), nil
			}
		}
		return nil, fmt.Errorf("%w: %q", ErrNoToken, which)
	})
	return gone, err
}

// change replaces the file while no other process does.
func (t *Tokens) change(f func([]Token) ([]Token, error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	lock, err := lockSoon(t.path + ".lock")
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := t.load(); err != nil {
		return err
	}
	list, err := f(append([]Token{}, t.list...))
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = disk.Replace(t.path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	t.seen = nil
	return t.load()
}

// lockSoon waits a moment for another process.
func lockSoon(path string) (f *os.File, err error) {
	for range 100 {
		if f, err = disk.Lock(path); !errors.Is(err, disk.ErrLocked) {
			return f, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, err
}

func hashOf(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// find returns the token with that secret, nil if there is none that holds now.
func (t *Tokens) find(secret string, now time.Time) (*Token, error) {
	id, _, ok := strings.Cut(strings.TrimPrefix(secret, tokenPrefix), "_")
	if !ok {
		return nil, nil
	}
	k, err := t.byID(id, now)
	if k == nil || subtle.ConstantTimeCompare([]byte(hashOf(secret)), []byte(k.Hash)) != 1 {
		return nil, err
	}
	return k, nil
}

// byID returns the token with that ID, nil if there is none that holds now.
func (t *Tokens) byID(id string, now time.Time) (*Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(); err != nil {
		return nil, err
	}
	for i := range t.list {
		if k := t.list[i]; k.ID == id && !k.Expired(now) {
			return &k, nil
		}
	}
	return nil, nil
}

func (k *Token) principal() *Principal {
	return &Principal{Name: k.Name, Role: k.Role, Via: viaToken, Expires: k.Expires, token: k.ID}
}
