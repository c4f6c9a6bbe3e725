package caddymodule

import (
	"net/http"
	"slices"
	"testing"
)

func TestOwnCookiesAreTakenOutAndOthersLeftAsTheyWere(t *testing.T) {
	for _, test := range []struct {
		sent, want []string
	}{
		{[]string{"t=1"}, nil},
		{[]string{"t=1; t-challenge=2"}, nil},
		{[]string{" t = 1 ;t-challenge=2;"}, nil},
		{[]string{"a=1; t=x; b=\"2\""}, []string{"a=1; b=\"2\""}},
		{[]string{"t=x; a=1"}, []string{"a=1"}},
		{[]string{"a=1; t=x"}, []string{"a=1"}},
		{[]string{"t=1; a=1; t=2; b=2; t=3; t-challenge=4; c=3; t"}, []string{"a=1; b=2; c=3"}},
		{[]string{"tt=1; at=2; t-=3; T=4; t-challenges=5"}, []string{"tt=1; at=2; t-=3; T=4; t-challenges=5"}},
		{[]string{"a=1;b=2", "t=x", "c=t=1"}, []string{"a=1;b=2", "c=t=1"}},
		{[]string{"", ";;"}, nil},
		{nil, nil},
	} {
		r := &http.Request{Header: http.Header{}}
		if test.sent != nil {
			r.Header["Cookie"] = test.sent
		}
		stripCookies(r, nil, []string{"t", "t-challenge"})
		if got, kept := r.Header["Cookie"]; kept != (test.want != nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q: left %q, want %q", test.sent, got, test.want)
		}
	}
}

func FuzzNoCookieOfOursIsLeft(f *testing.F) {
	f.Add("a=1; t=2; b=3")
	f.Add(";t;t=;=t; t")
	f.Fuzz(func(t *testing.T, line string) {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		stripCookies(r, nil, []string{"t"})
		if left := cookieValues(r.Header["Cookie"], "t"); len(left) > 0 {
			t.Errorf("%q: %q is left", line, left)
		}
		for _, c := range r.CookiesNamed("t") {
			t.Errorf("%q: net/http still finds %v", line, c)
		}
	})
}
