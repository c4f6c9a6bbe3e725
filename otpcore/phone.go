package otpcore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// Number is a phone number as E.164 writes it: a plus sign and 8 to 15 digits.
type Number string

// ParseNumber reads an international number as an operator writes it, with
// spaces, dashes, dots, slashes or brackets. It checks the form and the calling
// code, not whether the number is in use: directories hold numbers from ranges newer
// than any list. What a stranger typed goes through [ParseMobile] instead.
func ParseNumber(written string) (Number, error) {
	s := strings.TrimSpace(written)
	if !strings.HasPrefix(s, "+") {
		return "", errors.New("must begin with + and the country's calling code, such as +1 202 555 0123")
	}
	digits := make([]byte, 1, 16)
	digits[0] = '+'
	for _, r := range s[1:] {
		switch {
		case '0' <= r && r <= '9':
			digits = append(digits, byte(r))
		case strings.ContainsRune(" -./()\u00a0\u202f\u2011", r):
		default:
			return "", fmt.Errorf("has a character that is not part of a phone number: %q", r)
		}
	}
	if n := len(digits) - 1; n < 8 || n > 15 {
		return "", fmt.Errorf("has %d digits, international numbers have 8 to 15", n)
	}
	n := Number(digits)
	if n.CallingCode() == 0 {
		return "", errors.New("does not begin with a calling code of any country")
	}
	return n, nil
}

// ParseMobile reads a number as a visitor types it, by the rules of libphonenumber:
// it must be in use for mobile phones of one of the countries, whose calling
// codes these are. Without a plus sign it is read as one of the first of them.
// Premium, satellite and fixed numbers are refused.
func ParseMobile(typed string, countries []int) (Number, error) {
	if len(countries) == 0 || strings.ContainsFunc(typed, unicode.IsLetter) {
		return "", errNotMobile // the library would read letters as a telephone's keys
	}
	parsed, err := phonenumbers.Parse(typed, phonenumbers.GetRegionCodeForCountryCode(countries[0]))
	if err != nil || !slices.Contains(countries, int(parsed.GetCountryCode())) {
		return "", errNotMobile
	}
	switch phonenumbers.GetNumberType(parsed) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
	default:
		return "", errNotMobile
	}
	// Satellite phones and other networks without a country count as mobile too.
	if phonenumbers.GetRegionCodeForNumber(parsed) == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY {
		return "", errNotMobile
	}
	return ParseNumber(phonenumbers.Format(parsed, phonenumbers.E164))
}

var errNotMobile = errors.New("not the number of a mobile phone in an allowed country")

// CallingCode is the country's calling code, such as 49, or 0 where no country has it.
func (n Number) CallingCode() int {
	code := 0
	for i := 1; i <= 3 && i < len(n); i++ {
		if n[i] < '0' || n[i] > '9' {
			return 0
		}
		if code = 10*code + int(n[i]-'0'); callingCodes[code] {
			return code
		}
	}
	return 0
}

// IsCallingCode tells whether numbers of some country begin with code, such as 49.
func IsCallingCode(code int) bool { return callingCodes[code] }

// Mask shows as much of the number as helps its owner to recognise it and as
// little as helps anybody else: the calling code and the last two digits. The
// number of bullets is fixed, so that the length stays hidden too.
func (n Number) Mask() string {
	if len(n) < 8 {
		return "•••••"
	}
	return "+" + strconv.Itoa(n.CallingCode()) + "•••••" + string(n[len(n)-2:])
}

var callingCodes = phonenumbers.GetSupportedCallingCodes()
