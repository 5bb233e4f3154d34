package event

// Nearest returns the one of words that differs least from word, to ask back
// when a name is not known. It returns "" if none is near: if more than a
// quarter of word and one letter would have to change.
func Nearest(word string, words []string) string {
	best, bestCost := "", len(word)/4+2
	for _, w := range words {
		if c := editDistance(word, w); c < bestCost {
			best, bestCost = w, c
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete or replace to make a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
