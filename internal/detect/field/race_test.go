//go:build race

package field

// raceDetector is set in builds with the race detector, under which package
// regexp forgets at random what it holds for the next match.
const raceDetector = true
