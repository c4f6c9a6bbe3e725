package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "sms-otp",
		Usage:     "<command>",
		Short:     "Looks after SMS one-time codes",
		Long:      "Looks after the SMS one-time codes of a running Caddy, through its admin endpoint.",
		CobraFunc: addCommands,
	})
}

func addCommands(parent *cobra.Command) {
	flags := parent.PersistentFlags()
	flags.String("address", "", "The address of the admin endpoint, if not the default or that of the config")
	flags.StringP("config", "c", "", "Configuration file to read the admin address from")
	flags.StringP("adapter", "a", "", "Name of the config adapter to apply (when --config is used)")
	flags.Bool("json", false, "Print the answer as JSON")
	parent.Args, parent.RunE = cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q; caddy sms-otp --help lists them", args[0])
		}
		return cmd.Help()
	}
	parent.AddCommand(
		remote{http.MethodGet, "", printStatus}.command("status", "Shows pending challenges, the budget and the phones"),
		remote{http.MethodGet, "", printUser}.command("user <name>", "Shows how a user stands"),
		remote{http.MethodPost, "/unlock", printUser}.command("unlock <name>", "Gives a user all attempts back, and the user's number all messages"),
		remote{http.MethodPost, "/revoke", printUser}.command("revoke <name>", "Ends every verification of a user with the next request"),
		remote{http.MethodPost, "/pass", printPass}.command("pass <name>", "Makes a code to read out to a user who gets none, good once for 15 minutes"),
	)
}

// remote is a command that asks the running Caddy. Suffix is what follows the user in the address.
type remote struct {
	method, suffix string
	print          func(w io.Writer, user string, answer []byte, now time.Time) error
}

func (c remote) command(use, short string) *cobra.Command {
	args := cobra.NoArgs
	if use != "status" {
		args = cobra.ExactArgs(1)
	}
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: c.run}
}

func (c remote) run(cmd *cobra.Command, args []string) error {
	cmd.SilenceUsage = true // what goes wrong from here on is no slip of the keyboard
	path, user := adminPath, ""
	if len(args) > 0 {
		user = args[0]
		path += "users/" + url.PathEscape(user) + c.suffix
	}
	answer, err := askAdmin(cmd, c.method, path)
	if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		_, err := cmd.OutOrStdout().Write(answer)
		return err
	}
	return c.print(cmd.OutOrStdout(), user, answer, time.Now())
}

func askAdmin(cmd *cobra.Command, method, path string) ([]byte, error) {
	flag := func(name string) string { value, _ := cmd.Flags().GetString(name); return value }
	address, err := caddycmd.DetermineAdminAPIAddress(flag("address"), nil, flag("config"), flag("adapter"))
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint: %w", err)
	}
	response, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("asking Caddy at %s: %w; is it running, with the admin endpoint on and sms_otp in its configuration?", address, err)
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// clock is how times are shown: in the administrator's own zone.
const clock = "2006-01-02 15:04:05"

func at(unix int64) string { return time.Unix(unix, 0).Format(clock) }

func printStatus(w io.Writer, _ string, answer []byte, now time.Time) error {
	var s serverJSON
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Challenges\t%d of %d\n", s.Pending, s.Capacity)
	fmt.Fprintf(t, "Messages on their way\t%d\n", s.InFlight)
	fmt.Fprintf(t, "Budget\t%d of %d messages left in %s, %d of them for numbers that visitors type\n\n",
		s.Budget.Left, s.Budget.Limit, span(s.Budget.Per), s.Budget.Asked)
	fmt.Fprintln(t, "DEVICE\tSIM\tSTATE\tLAST CONTACT\tMAY STILL SEND\tWAITING")
	for _, d := range s.Devices {
		contact := "unknown"
		if d.LastContact != 0 {
			contact = span(max(0, now.Unix()-d.LastContact)) + " ago"
		}
		state := d.State
		if d.RestsFor > 0 {
			state += fmt.Sprintf(" for %s after %d failures", span(d.RestsFor), d.Failures)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d of %d in %s\t%d\n", d.ID, d.SIM, state, contact, d.Left, d.Limit, span(d.Per), d.Waiting)
	}
	return t.Flush()
}

func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

func printUser(w io.Writer, user string, answer []byte, _ time.Time) error {
	var u userJSON
	if err := json.Unmarshal(answer, &u); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "User\t%s, in the log %s\n", user, u.Pseudonym)
	if len(u.Phones) == 0 {
		fmt.Fprintln(t, "Phone\tnone in the phonebooks; look at the spelling")
	}
	for _, p := range u.Phones {
		next := "now"
		if p.NextMessageAt != 0 {
			next = "at " + at(p.NextMessageAt)
		}
		fmt.Fprintf(t, "Phone\t%s, messages: %d sent, %d left, the next one %s\n", p.Phone, p.MessagesSent, p.MessagesLeft, next)
	}
	printAttempts(t, "Wrong codes", u.attemptJSON)
	if u.Asked != nil {
		printAttempts(t, "  without a first factor", *u.Asked)
	}
	if u.RevokedAt != 0 {
		fmt.Fprintf(t, "Revoked\twhat was verified before %s\n", at(u.RevokedAt))
	}
	if u.PassUntil != 0 {
		fmt.Fprintf(t, "Help-desk code\tgood until %s\n", at(u.PassUntil))
	}
	return t.Flush()
}

func printAttempts(w io.Writer, what string, a attemptJSON) {
	stands := fmt.Sprintf("%d left", a.AttemptsLeft)
	switch {
	case a.Locked && a.LockedUntil == 0:
		stands = "locked until an administrator unlocks"
	case a.Locked:
		stands = "locked until " + at(a.LockedUntil)
	}
	fmt.Fprintf(w, "%s\t%d, %d in a row, %s\n", what, a.WrongCodes, a.Consecutive, stands)
}

func printPass(w io.Writer, user string, answer []byte, _ time.Time) error {
	var p passJSON
	if err := json.Unmarshal(answer, &p); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	fmt.Fprintf(w, "%s\n\nGood once, until %s, in the page's field for the code. Read it out only when you know that you are talking to %s.\n",
		inGroups(p.Code), at(p.ExpiresAt), user)
	if !p.InPhonebook {
		fmt.Fprintf(w, "No phonebook has a number of %s: look at the spelling.\n", user)
	}
	if p.Locked {
		fmt.Fprintf(w, "Too many wrong codes were tried as %s; first run: caddy sms-otp unlock %s\n", user, user)
	}
	return nil
}

// inGroups spells a code as it is read out: four at a time.
func inGroups(code string) (spelled string) {
	for i := 0; i < len(code); i += 4 {
		spelled += " " + code[i:min(i+4, len(code))]
	}
	return spelled[min(1, len(spelled)):]
}
