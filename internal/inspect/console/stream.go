package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/access"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/mask"
)

const (
	streamRoom  = 1000             // updates that wait for a slow reader
	streamAlive = 15 * time.Second // a sign of life when nothing happens, and a look at whether the role still holds
	streamWrite = 10 * time.Second // for a reader to take something
)

// told is an update as it is streamed.
type told struct {
	Incident string          `json:"incident"`
	Data     json.RawMessage `json:"data"`
}

func streamAlerts(c *call) error {
	reveal, err := c.reveal()
	if err != nil {
		return err
	}
	worst := rule.Debug
	if p := c.r.URL.Query().Get("priority"); p != "" {
		var ok bool
		if worst, ok = rule.ParsePriority(p); !ok {
			return fail(http.StatusBadRequest, "priority %q is not known", p)
		}
	}
	select {
	case c.s.streams <- struct{}{}:
	default:
		return fail(http.StatusServiceUnavailable, "%d streams are open already", maxStreams)
	}
	defer func() { <-c.s.streams }()
	if err := c.recordOnce("stream", "", ""); err != nil {
		return err
	}
	f := c.s.opt.Guard.Evidence().Follow(streamRoom)
	defer f.Close()
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.Header().Set("Cache-Control", "no-store")
	return c.follow(f, worst, reveal)
}

// follow streams updates until the reader or its right to read is gone.
func (c *call) follow(f *evidence.Follower, worst rule.Priority, reveal bool) error {
	alive := time.NewTicker(streamAlive)
	defer alive.Stop()
	if err := c.send(": begun\n\n"); err != nil {
		return nil
	}
	for {
		var text string
		select {
		case <-c.r.Context().Done():
			return nil
		case <-alive.C:
			who, _, err := c.s.opt.Gate.Identify(c.r)
			if err != nil || reveal && !who.May(access.Responder) {
				return nil
			}
			text = ": alive\n\n"
		case u := <-f.C:
			var err error
			if text, err = tell(u, worst, reveal); err != nil {
				c.s.opt.Log.Error("an update cannot be streamed", "incident", u.Incident, "error", err)
			}
		}
		if n := f.Missed(); n > 0 {
			text += fmt.Sprintf("event: missed\ndata: {\"count\":%d}\n\n", n)
		}
		if text != "" && c.send(text) != nil {
			return nil
		}
	}
}

// tell writes an update as an event, "" if it is not wanted.
func tell(u evidence.Update, worst rule.Priority, reveal bool) (string, error) {
	var data []byte
	var err error
	if a, ok := u.Data.(*alert.Alert); ok {
		if a.Priority > worst {
			return "", nil
		}
		data = alert.AppendRecord(nil, a)
	} else if data, err = json.Marshal(u.Data); err != nil {
		return "", err
	}
	if !reveal {
		if data, err = mask.JSON(data); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(told{u.Incident, data})
	if err != nil {
		return "", err
	}
	return "event: " + u.Kind + "\ndata: " + string(b) + "\n\n", nil
}

func (c *call) send(text string) error {
	rc := http.NewResponseController(c.w)
	_ = rc.SetWriteDeadline(time.Now().Add(streamWrite)) // not every writer has one
	if _, err := c.w.Write([]byte(text)); err != nil {
		return err
	}
	return rc.Flush()
}
