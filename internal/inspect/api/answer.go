package api

import (
	"container/list"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxAnswers is how many bytes of answers are kept to be given again.
const maxAnswers = 64 << 20

// partEvery is how often a streamed answer gives what it has by then.
const partEvery = 250 * time.Millisecond

// stream is an answer that is given in parts, each a line of JSON that replaces
// the one before.
type stream struct {
	q    *request
	next time.Time
}

// part is a line of a streamed answer.
type part struct {
	Progress float64 `json:"progress"`
	Result   any     `json:"result,omitempty"`
}

func (q *request) stream() *stream { return &stream{q: q, next: time.Now().Add(partEvery)} }

// tick gives what there is by now, if it is time to.
func (s *stream) tick(progress float64, result func() any) error {
	begun := time.Now()
	if begun.Before(s.next) {
		return nil
	}
	if err := s.write(part{progress, result()}); err != nil {
		return err
	}
	// Parts of large answers cost much: they may take a tenth of the time.
	s.next = time.Now().Add(max(partEvery, 9*time.Since(begun)))
	return nil
}

// end gives the whole answer and returns its bytes.
func (s *stream) end(result any) ([]byte, error) {
	b, err := json.Marshal(part{1, result})
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	return b, s.raw(b)
}

func (s *stream) write(p part) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.raw(append(b, '\n'))
}

func (s *stream) raw(b []byte) error {
	if !s.q.begun {
		s.q.w.Header().Set("Content-Type", "application/x-ndjson")
		s.q.w.Header().Set("Cache-Control", "no-store")
		s.q.begun = true
	}
	if _, err := s.q.w.Write(b); err != nil {
		return err
	}
	if f, ok := s.q.w.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// answered gives an answer from memory, or has it made and remembers it if the
// capture was surveyed to its end by then. make streams it and returns its last line.
func (s *Server) answered(q *request, x *question, make func(*stream) ([]byte, error)) error {
	key := q.r.URL.Path + "?" + q.r.URL.Query().Encode()
	if b, ok := s.answers.get(key); ok {
		return q.stream().raw(b)
	}
	final := x.rec.Info().Done
	b, err := make(q.stream())
	if err == nil && final {
		s.keep(x.rec, func() { s.answers.put(key, b) })
	}
	return err
}

// answerCache keeps the answers that were used last, up to a number of bytes.
type answerCache struct {
	mu    sync.Mutex
	room  int
	used  int
	order *list.List // of *answer, the last used in front
	byKey map[string]*list.Element
}

type answer struct {
	key  string
	data []byte
}

func newAnswerCache(room int) *answerCache {
	return &answerCache{room: room, order: list.New(), byKey: map[string]*list.Element{}}
}

func (c *answerCache) get(key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*answer).data, true
}

// forget forgets the answers about a capture.
func (c *answerCache) forget(capture int) {
	about, compared := fmt.Sprintf("/api/captures/%d/", capture), fmt.Sprintf("other=%d", capture)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.byKey {
		_, query, _ := strings.Cut(key, "?")
		if strings.HasPrefix(key, about) || slices.Contains(strings.Split(query, "&"), compared) {
			c.drop(e)
		}
	}
}

// drop forgets an answer. It is called with mu held.
func (c *answerCache) drop(e *list.Element) {
	a := c.order.Remove(e).(*answer)
	delete(c.byKey, a.key)
	c.used -= len(a.data) + len(a.key)
}

func (c *answerCache) put(key string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(data) > c.room/4 || c.byKey[key] != nil {
		return
	}
	c.byKey[key] = c.order.PushFront(&answer{key, data})
	for c.used += len(data) + len(key); c.used > c.room; {
		c.drop(c.order.Back())
	}
}
