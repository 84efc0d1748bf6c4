package main

// waiting says on stderr, if it takes a while, what the command waits for: until
// something else is said or asked, another wait begins, or the command ends.
func (c *cli) waiting(format string, args ...any) {
	p := c.startProgress()
	if c.quiet {
		return
	}
	came := p.waits(format, args...)
	c.waited = func() {
		came()
		p.end()
	}
}

// moves returns what says how far the command is. The first word of it ends the wait:
// until then it may be for a lock that the work begins with.
func (c *cli) moves() func(format string, args ...any) {
	var p *progress
	return func(format string, args ...any) {
		if p == nil {
			p = c.startProgress()
			c.waited = p.end
		}
		p.sayf(format, args...)
	}
}

// came ends the wait, if there is one.
func (c *cli) came() {
	if c.waited != nil {
		c.waited()
		c.waited = nil
	}
}
