package gatewayclient

import (
	"context"
	"time"
)

// Client speaks one account's wire. It makes each call once and keeps nothing.
// Safe for concurrent use.
type Client struct {
	wire      wire
	transport transport
}

// wire is one profile: it writes calls and reads answers. Sending is all that both can do.
type wire interface {
	send(Message) (*request, error)
	receipt(*request, []byte) (Receipt, error)
}

// Message is one text for one number.
type Message struct {
	To         string // E.164
	Body       string
	Device     string // the id of the phone that is to send it
	SIM        int    // see [ParseSIM]
	CustomerID int64  // the caller's own mark, by which [Client.Find] finds it again; 0: none
	Urgent     bool   // before what else waits for the phone; codes are
}

// Receipt says that the gateway has a message.
type Receipt struct {
	ID string // by which [Client.Status] asks; may be empty in v1
}

// DeviceStatus is what the gateway knows of a phone from hearing from it.
type DeviceStatus struct {
	ID     string
	Title  string
	Online bool
	Since  time.Duration // since the phone was last heard of, by the gateway's clock; negative where unknown
}

// Device is a phone of the account.
type Device struct {
	ID       string
	Title    string
	LastSeen time.Time     // zero where unknown
	Poll     time.Duration // how often it asks for messages; 0 where unknown
	SIMs     []SIM
}

// SIM is a card in a phone. Its number is left out: nobody here needs it.
type SIM struct {
	Slot    int
	Carrier string
	Country string
}

// Found is a message the gateway has on record.
type Found struct {
	ID         string
	Device     string
	CustomerID int64
	State      State
	Code       int // the state's number on the wire
}

// Close lets go of idle connections. Calls may still be made.
func (c *Client) Close() { c.transport.http.CloseIdleConnections() }

// Follows reports whether this profile can say what became of a message.
func (c *Client) Follows() bool {
	_, ok := c.wire.(getdata)
	return ok
}

// Send hands over one message. Every error is an [*Error].
func (c *Client) Send(ctx context.Context, m Message) (Receipt, error) {
	r, err := c.wire.send(m)
	if err != nil {
		return Receipt{}, err
	}
	body, err := c.transport.do(ctx, r)
	if err != nil {
		return Receipt{}, err
	}
	return c.wire.receipt(r, body)
}

// Status asks what became of the message that Send gave id for.
func (c *Client) Status(ctx context.Context, id string) (State, error) {
	code, err := c.status(ctx, id)
	return stateOf(code), err
}

// DeviceStatus asks when a phone was last heard of.
func (c *Client) DeviceStatus(ctx context.Context, device string) (DeviceStatus, error) {
	g, err := c.getdata("getdevicestatus")
	if err != nil {
		return DeviceStatus{}, err
	}
	r := g.deviceStatus(device)
	body, err := c.transport.do(ctx, r)
	if err != nil {
		return DeviceStatus{}, err
	}
	return readDeviceStatus(r, body, device)
}

// Devices lists the phones of the account.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	g, err := c.getdata("getalldevices")
	if err != nil {
		return nil, err
	}
	r := g.devices()
	body, err := c.transport.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return readDevices(r, body)
}

// Find looks for messages that were sent with customerID, to learn after a lost
// answer whether there is one.
func (c *Client) Find(ctx context.Context, customerID int64) ([]Found, error) {
	g, err := c.getdata("getallsms")
	if err != nil {
		return nil, err
	}
	all, err := c.list(ctx, g.find(customerID))
	if err != nil {
		return nil, err
	}
	// A gateway that does not know the filter returns everything.
	matching := all[:0]
	for _, f := range all {
		if f.CustomerID == customerID {
			matching = append(matching, f)
		}
	}
	return matching, nil
}

// since lists the account's messages from at on, which costs one call for any number of them.
func (c *Client) since(ctx context.Context, at time.Time) ([]Found, error) {
	g, err := c.getdata("getallsms")
	if err != nil {
		return nil, err
	}
	return c.list(ctx, g.since(at))
}

func (c *Client) list(ctx context.Context, r *request) ([]Found, error) {
	body, err := c.transport.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return readMessages(r, body)
}

func (c *Client) status(ctx context.Context, id string) (int, error) {
	g, err := c.getdata("getsmsstatus")
	if err != nil {
		return 0, err
	}
	r := g.status(id)
	body, err := c.transport.do(ctx, r)
	if err != nil {
		return 0, err
	}
	return readStatus(r, body, id)
}

func (c *Client) getdata(call string) (getdata, error) {
	g, ok := c.wire.(getdata)
	if !ok {
		return g, &Error{Class: Protocol, Call: call, detail: "`api v1` cannot ask this; use `api getdata`"}
	}
	return g, nil
}
