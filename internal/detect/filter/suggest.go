package filter

// Suggest phrases a question for the word that differs least from the given
// one, "" if none is near.
func Suggest(word string, words []string) string { return didYouMean(nearest(word, words)) }
