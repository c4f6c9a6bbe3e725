// Package gatewaytest is an SmsGateWay24 account with phones, for tests, demos
// and benchmarks. It is a real HTTP server that speaks both wire profiles; its
// phones ask for messages, take them, send them and report.
//
//	s := gatewaytest.New(gatewaytest.Options{Devices: []string{"10403"}})
//	defer s.Close()
//	client, err := gatewayclient.New(gatewayclient.Config{URL: s.Start(), Token: "any"})
//
// Inside a testing/synctest bubble use [Server.Client], which calls the server
// without a network, so that phones and timeouts run on the bubble's clock.
// Elsewhere [Options.Now] puts the phones on any other clock.
//
// # What it answers
//
//	/getdata/CALL   gettoken addsms addalotofsms getsmsstatus getdevicestatus getalldevices getallsms
//	/api/v1/send    the JSON call of the v1 profile
//	/               the phones' inbox, for people
//	/messages       every message in order of arrival: [{"id":1,"device_id":10403,"to":"+49…","body":"…","state":7}]
//	/faults         what goes wrong; see below
//	/inbound        POST device_id, from and body: somebody texts a phone
//
// Calls are read from the query, an urlencoded form, a multipart form and JSON,
// merged. Any token is good except "bad". Answers have the vendor's words where
// those are known. Where they are not, something was invented, and the source says "invented".
//
// # Faults
//
// Faults are switched while it runs: with [Server.Break] and [Server.Mend], on
// the inbox page, or with JSON:
//
//	GET    /faults    the faults that are on
//	POST   /faults    {"fault":"lost-reply","call":"addsms","device":"10403","rate":0.1,"times":3,"delay_ms":500,"on":true}
//	DELETE /faults    all is well again
//
// Only "fault" is needed. "call" and "device" narrow a fault, "rate" makes it
// happen by chance (seeded by [Options.Seed]), "times" so often only, "on":false ends it.
//
// Of the gateway:
//
//	refuse-connection  a new connection is closed before a byte is read (in [Server.Client]: refused)
//	lost-request       the connection is closed before anything is done
//	lost-reply         the connection is closed when all is done
//	slow               the answer takes delay_ms (3000) longer
//	late               the work begins delay_ms (3000) later, and is done although the client may have gone
//	http-500           500, nothing done          http-500-after     500, all done
//	http-503           503, nothing done          http-429           429 with Retry-After: delay_ms (2000)
//	http-400           400                        http-401           401
//	http-402           402                        http-404           404 with a web page
//	html               200 with a web page        redirect           302 to another host
//	not-json           200 with some words        truncated          all done, half an answer
//	empty              200 without a body         huge               200 with megabytes
//	no-id              addsms without an id       odd-types          numbers as strings, false as a string
//	wrong-token        as with the token "bad"    refuse             addsms is refused
//
// Of the phones:
//
//	offline            does not ask for messages, and its last contact grows old
//	no-pickup          in contact, but takes nothing
//	stuck-on-phone     takes messages and does not send them
//	stuck-sent         sends, but no report comes from the carrier
//	fail-8 fail-9 fail-10 fail-11 fail-12 fail-100 fail-101   every message ends in this state
//
// Of the webhooks ([Options.StateHook], [Options.InboundHook]):
//
//	hook-duplicate     each comes twice
//	hook-disorder      each second one comes before the one it follows
//	hook-old-shape     with "sim" in place of "channel_id"
package gatewaytest
