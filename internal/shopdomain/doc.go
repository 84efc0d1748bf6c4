// Package shopdomain owns the one spelling of a shop's name: its domain,
// "name.myharavan.com", in lower case.
//
// People and systems write the same shop as "Some-Shop", as
// "https://some-shop.myharavan.com/" or with blanks around it; two spellings of
// one shop in a fleet would be two items, two exchanges and two rate buckets.
// Everything that takes a shop from outside goes through Parse, so that domains
// can be compared as strings everywhere else.
//
// Parse is also a guard. A shop's domain becomes the host that credentials are
// sent to, so nothing but one label under myharavan.com ever passes.
//
// Non-goals: a merchant's own domain (www.example.com) is not resolved to its
// shop, and whether a shop exists is for the platform to say.
package shopdomain
