package rotation

import "fmt"

// Plural is a number of things, in words for people.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Counted is Plural with the verb that goes with it.
func Counted(n int, noun, one, more string) string {
	if n == 1 {
		more = one
	}
	return Plural(n, noun) + " " + more
}
