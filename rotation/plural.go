package rotation

import "fmt"

// plural is a number of things.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// counted is plural with the verb that goes with it.
func counted(n int, noun, one, more string) string {
	if n == 1 {
		more = one
	}
	return plural(n, noun) + " " + more
}
