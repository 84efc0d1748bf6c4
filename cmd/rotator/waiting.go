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

// came ends the wait, if there is one.
func (c *cli) came() {
	if c.waited != nil {
		c.waited()
		c.waited = nil
	}
}
