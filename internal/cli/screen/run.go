package screen

import (
	"context"
	"fmt"

	"github.com/gdamore/tcell/v2"

	"rollcage/internal/inspect/view"
)

// Run shows a path on the terminal, or echo or dig (text) over it, until the
// user quits or ctx is done. source names what is watched. It closes the feed.
func Run(ctx context.Context, feed Feed, path view.Path, text, source string, containers bool) error {
	defer feed.Close()
	s, err := tcell.NewScreen()
	if err != nil {
		return fmt.Errorf("using the terminal: %w; --plain prints without it", err)
	}
	if err := s.Init(); err != nil {
		return fmt.Errorf("using the terminal: %w; --plain prints without it", err)
	}
	defer s.Fini()
	m := newModel(feed, path, text, source, containers)
	if m.problem != "" {
		return fmt.Errorf("%s", m.problem)
	}
	return m.loop(ctx, s)
}

// loop shows the model and acts on keys and updates.
func (m *model) loop(ctx context.Context, s tcell.Screen) error {
	events := make(chan tcell.Event, 16)
	done := make(chan struct{})
	defer close(done)
	go s.ChannelEvents(events, done)
	for !m.quit {
		m.draw(s)
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return nil
			}
			switch e := e.(type) {
			case *tcell.EventKey:
				m.key(e.Key(), e.Rune())
			case *tcell.EventResize:
				s.Sync()
			}
		case u := <-m.feed.Updates():
			m.update(u)
		}
	}
	return nil
}
