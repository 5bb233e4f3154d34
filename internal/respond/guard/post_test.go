package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
)

func anAlert(id string) *alert.Alert {
	a := alert.Internal(time.Now(), "test", rule.Warning, "it happened", nil)
	a.ID = id
	return a
}

func TestOutputsAreReplacedWithoutALoss(t *testing.T) {
	dir := t.TempDir()
	one, two := newCollected("a"), newCollected("a")
	p, err := openPost(filepath.Join(dir, "all"), filepath.Join(dir, "notify"), Outputs{All: []alert.Output{one}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	put := func(id string) {
		t.Helper()
		if err := p.put(anAlert(id)); err != nil {
			t.Fatal(err)
		}
	}
	put("1")
	if a := one.next(t); a.ID != "1" {
		t.Errorf("%+v", a)
	}
	pager := newCollected("pager")
	if err := p.set(t.Context(), Outputs{All: []alert.Output{two}, Notified: map[string]alert.Output{"pager": pager}, Names: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	put("2")
	if a := two.next(t); a.ID != "2" {
		t.Errorf("%+v", a)
	}
	if !one.closed {
		t.Error("the output that was replaced is open")
	}
	if err := p.notify(t.Context(), nil, anAlert("3")); err != nil {
		t.Error(err)
	}
	if a := pager.next(t); a.ID != "3" {
		t.Errorf("%+v", a)
	}
	if err := p.notify(t.Context(), []string{"a"}, anAlert("4")); err != nil {
		t.Errorf("an output that has every alert: %v", err)
	}
	if err := p.notify(t.Context(), []string{"pagr"}, anAlert("5")); err == nil {
		t.Error("an output that is not configured is no error")
	}
}

func TestAnOutputAtAnotherAddressGoesOnWhereItWasAndOneThatIsGoneIsForgotten(t *testing.T) {
	dir := t.TempDir()
	notify := filepath.Join(dir, "notify")
	dead, deadPager := newCollected("http old"), newCollected("smtp old")
	dead.got, deadPager.got = make(chan *alert.Alert), make(chan *alert.Alert) // nobody takes it
	out := func(o, pager *collected) Outputs {
		return Outputs{All: []alert.Output{o}, Names: []string{"http"}, Notified: map[string]alert.Output{"smtp": pager}}
	}
	p, err := openPost(filepath.Join(dir, "all"), notify, out(dead, deadPager), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close(t.Context())
	for _, id := range []string{"1", "2"} {
		if err := errors.Join(p.put(anAlert(id)), p.notify(t.Context(), nil, anAlert(id))); err != nil {
			t.Fatal(err)
		}
	}
	set := func(o Outputs) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // who is dead is not waited for
		defer cancel()
		if err := p.set(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	moved, pager := newCollected("http new"), newCollected("smtp new")
	set(out(moved, pager))
	for _, o := range []*collected{moved, pager} {
		for _, id := range []string{"1", "2"} {
			if a := o.next(t); a.ID != id {
				t.Errorf("%s: got %s, want %s", o.name, a.ID, id)
			}
		}
	}
	set(Outputs{})
	for _, pattern := range []string{"all/*.position", "notify/*"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("left of outputs that are gone: %v", left)
		}
	}
	if err := p.put(anAlert("3")); err != nil {
		t.Fatal(err)
	}
	back := newCollected("http new")
	set(out(back, pager))
	if err := p.put(anAlert("4")); err != nil {
		t.Fatal(err)
	}
	if a := back.next(t); a.ID != "4" {
		t.Errorf("an output that came back begins with %s", a.ID)
	}
}

func TestOutputsThatCannotBeginStopNothingElse(t *testing.T) {
	dir := t.TempDir()
	notify := filepath.Join(dir, "notify")
	p, err := openPost(filepath.Join(dir, "all"), notify, Outputs{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close(t.Context())
	// A folder is where the position of the output is to be noted.
	sum := sha256.Sum256([]byte("pager"))
	obstacle := filepath.Join(notify, "pager", hex.EncodeToString(sum[:8])+".position")
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	next := func() Outputs {
		return Outputs{All: []alert.Output{newCollected("a")}, Notified: map[string]alert.Output{"pager": newCollected("pager")}}
	}
	if err := p.set(t.Context(), next()); err == nil {
		t.Fatal("an output without a position begins")
	}
	p.reopen()
	p.status()
	if err := p.put(anAlert("1")); err != nil {
		t.Error(err)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := p.set(t.Context(), next()); err != nil {
		t.Error(err)
	}
}
