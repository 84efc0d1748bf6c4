package config

import "strings"

// nearest returns the variable that name was probably meant to be, or "".
func nearest(name string) string {
	// Further apart than this, names have little in common.
	const most = 3
	best, bestDistance := "", most+1
	for _, v := range variables {
		candidate := v.Name
		if !strings.HasPrefix(candidate, prefix) {
			candidate = prefix + candidate // ROTATOR_DATABASE_URL means DATABASE_URL
		}
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = v.Name, d
		}
	}
	return best
}

// distance is how many bytes must be put in, taken out or changed to make b of
// a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
