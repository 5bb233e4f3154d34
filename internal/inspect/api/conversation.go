package api

import (
	"bytes"

	"rollcage/internal/inspect/conversation"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
)

const (
	maxPieces     = 2000
	maxPieceBytes = 8 << 20 // of data in one answer
	maxFrames     = 50_000
)

// talk is a part of a conversation.
type talk struct {
	Pieces []conversation.Piece `json:"pieces"`
	// More is the number of the event to go on from, 0 if that was all.
	More uint64 `json:"more,omitempty"`
	// Found is how many pieces hold the searched text, of those looked at.
	Found int `json:"found,omitempty"`
}

// conversation answers with what was read and written by the events that the
// filter fits, from event number after on; with search only what holds that text.
func (s *Server) conversation(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 300, maxPieces)
	if err != nil {
		return err
	}
	after, err := q.number("after", 0, ^uint64(0))
	if err != nil {
		return err
	}
	search := []byte(q.text("search"))
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		out := talk{Pieces: []conversation.Piece{}}
		size := 0
		visit := func(he *host.Event) error {
			p, ok := conversation.Of(he)
			if !ok || he.Num <= after || len(search) > 0 && !bytes.Contains(bytes.ToLower(p.Data), bytes.ToLower(search)) {
				return nil
			}
			if size += len(p.Data); len(out.Pieces) == int(limit) || size > maxPieceBytes && len(out.Pieces) > 0 {
				out.More = out.Pieces[len(out.Pieces)-1].Num
				return recording.ErrStop
			}
			p.Dissect()
			out.Pieces = append(out.Pieces, p)
			return nil
		}
		var err error
		if after > 0 {
			err = s.from(q, &x, after, visit)
		} else {
			err = s.scan(q.r.Context(), &x, recording.Visitor{Event: visit}, func(p float64) error {
				return st.tick(p, func() any { return out })
			})
		}
		if err != nil {
			return nil, err
		}
		if len(search) > 0 {
			out.Found = len(out.Pieces)
		}
		return st.end(out)
	})
}

// terminals answers with the terminal sessions of the window.
func (s *Server) terminals(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		list := conversation.NewTerminals()
		err := s.scan(q.r.Context(), &x, recording.Visitor{Event: func(he *host.Event) error { list.Add(he); return nil }},
			func(p float64) error { return st.tick(p, func() any { return list.List() }) })
		if err != nil {
			return nil, err
		}
		return st.end(list.List())
	})
}

// replay is a terminal session to play back.
type replay struct {
	Frames []conversation.Frame `json:"frames"`
	// Cut is true when the session has more frames than are given.
	Cut bool `json:"cut,omitempty"`
}

// terminal answers with the frames of one session.
func (s *Server) terminal(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	key := q.text("key")
	if key == "" {
		return badRequest("key= says which session; /terminals lists them")
	}
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		out := replay{Frames: []conversation.Frame{}}
		err := s.scan(q.r.Context(), &x, recording.Visitor{Event: func(he *host.Event) error {
			f, ok := conversation.FrameOf(he, key)
			if !ok {
				return nil
			}
			if out.Cut = len(out.Frames) == maxFrames; out.Cut {
				return recording.ErrStop
			}
			out.Frames = append(out.Frames, f)
			return nil
		}}, func(p float64) error { return st.tick(p, func() any { return nil }) })
		if err != nil {
			return nil, err
		}
		return st.end(out)
	})
}
