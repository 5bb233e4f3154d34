package capture

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

// samples are data of many kinds, so that all kinds of blocks come.
func samples() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise, words, mixed := make([]byte, 300_000), []byte{}, []byte{}
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for len(words) < 500_000 {
		words = append(words, "open read write close execve connect sendto "[rnd.IntN(40)])
		words = append(words, "the same words again and again, "[:rnd.IntN(32)]...)
	}
	for len(mixed) < 400_000 {
		mixed = append(mixed, noise[rnd.IntN(1000):][:rnd.IntN(2000)]...)
		mixed = append(mixed, words[rnd.IntN(1000):][:rnd.IntN(3000)]...)
	}
	return map[string][]byte{"nothing": {}, "a byte": {7}, "zeroes": make([]byte, 200_000), "noise": noise, "words": words, "mixed": mixed}
}

func deflate(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInflatingGivesWhatWasPacked(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			packed := append(deflate(t, data, level), "rest"...)
			src := newAhead(bytes.NewReader(packed), 0)
			got, err := io.ReadAll(newInflater(src, 0))
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s at level %d: %d bytes, %v; want %d", name, level, len(got), err, len(data))
			}
			if rest, _ := io.ReadAll(src); string(rest) != "rest" {
				t.Errorf("%s at level %d: %q is left", name, level, rest)
			}
		}
	}
}

func TestInflatingGoesOnAtEveryBlock(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 9} {
			packed := deflate(t, data, level)
			f := newInflater(newAhead(bytes.NewReader(packed), 0), 0)
			var points []Point
			f.onBlock = func() { points = append(points, f.point()) }
			if _, err := io.Copy(io.Discard, f); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(points); i += 1 + len(points)/8 { // each reads the rest
				p := points[i]
				src := newAhead(bytes.NewReader(packed[p.File:]), p.File)
				on, err := resumeInflater(src, &p)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(on); err != nil || !bytes.Equal(got, data[p.Out:]) {
					t.Fatalf("%s at level %d from %d on: %d bytes, %v; want %d", name, level, p.Out, len(got), err, len(data)-int(p.Out))
				}
			}
		}
	}
}

// FuzzInflate compares with the standard library.
func FuzzInflate(f *testing.F) {
	for _, data := range samples() {
		for _, level := range []int{0, 1, 9} {
			if len(data) < 10_000 {
				f.Add(deflate(f, data, level))
			}
			f.Add(deflate(f, data[:min(len(data), 500)], level))
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const most = 1 << 20
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), most))
		got, err := io.ReadAll(io.LimitReader(newInflater(newAhead(bytes.NewReader(packed), 0), 0), most))
		if (err == nil) != (werr == nil) {
			t.Fatalf("%v, the library says %v", err, werr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, the library has %d", len(got), len(want))
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	data := samples()["mixed"]
	packed := deflate(b, data, 6)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := io.Copy(io.Discard, newInflater(newAhead(bytes.NewReader(packed), 0), 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(packed))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
