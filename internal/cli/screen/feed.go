package screen

import "rollcage/internal/inspect/view"

// Feed runs a view over events. It is used by one goroutine.
type Feed interface {
	// Show begins to run the last view of a path, or echo or dig (text) over its
	// rows. The error is about the path's condition; the feed goes on as before then.
	Show(path view.Path, text string, containers bool) error
	// Updates returns where what is found comes; of several that were not
	// taken the newest stays.
	Updates() <-chan Update
	// Close ends the feed.
	Close() error
}

// Update is what a feed has found.
type Update struct {
	Result *view.Result // the receiver's; nil for echo and dig
	Lines  []string     // new lines of echo and dig
	// Samples are the new samples of a spectrogram, which has no Result.
	Samples []*view.Result
	State   State
}

// State says how a feed is.
type State struct {
	Live    bool
	Done    bool // a capture was read to its end
	Events  uint64
	Dropped uint64
	Err     error // why it ended
}
