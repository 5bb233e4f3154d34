//go:build race

package filter

// raceDetector is set in builds with the race detector, which makes sync.Pool
// (and with it package regexp) forget what it holds at random.
const raceDetector = true
