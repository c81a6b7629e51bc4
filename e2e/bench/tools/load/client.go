package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// deadline of one request, its connection included.
const deadline = 30 * time.Second

// target is something that is asked: the flags that every command takes, read once.
type target struct {
	address, path, bearer string
	config                *tls.Config
}

func targetFlags(flags *flag.FlagSet) func() *target {
	address := flags.String("url", "", "what to ask for, https")
	ca := flags.String("ca", "", "the server's CA, PEM")
	cert := flags.String("cert", "", "client certificate, PEM")
	key := flags.String("key", "", "its key, PEM")
	token := flags.String("token", "", "file with a bearer token")
	return func() *target {
		found, err := url.Parse(*address)
		check(err)
		made := &target{address: found.Host, path: found.RequestURI(), config: trust(*ca)}
		if *cert != "" {
			pair, err := tls.LoadX509KeyPair(*cert, *key)
			check(err)
			made.config.Certificates = []tls.Certificate{pair}
		}
		if *token != "" {
			raw, err := os.ReadFile(*token)
			check(err)
			made.bearer = strings.TrimSpace(string(raw))
		}
		return made
	}
}

func trust(ca string) *tls.Config {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ca)
	check(err)
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}}
}

// connection is one keep-alive connection; net/http's client would cost as much CPU as the proxy that is measured.
type connection struct {
	target *target
	tls    *tls.Conn
	reader *bufio.Reader
}

func (t *target) dial() (*connection, error) {
	made, err := tls.DialWithDialer(&net.Dialer{Timeout: deadline}, "tcp", t.address, t.config)
	if err != nil {
		return nil, err
	}
	return &connection{target: t, tls: made, reader: bufio.NewReaderSize(made, 4096)}, nil
}

func (c *connection) close() {
	if c != nil {
		c.tls.Close()
	}
}

// send writes one request, as one piece.
func (c *connection) send(method, path, body string) error {
	var head strings.Builder
	head.WriteString(method + " " + path + " HTTP/1.1\r\nHost: " + c.target.address)
	head.WriteString("\r\nAccept: application/json\r\nUser-Agent: bench\r\n")
	if c.target.bearer != "" {
		head.WriteString("Authorization: Bearer " + c.target.bearer + "\r\n")
	}
	if body != "" {
		head.WriteString("Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	head.WriteString("\r\n" + body)
	_, err := io.WriteString(c.tls, head.String())
	return err
}

// do sends one request and reads its whole answer: the code, and the body where it is wanted.
func (c *connection) do(method, path, body string, wanted bool) (int, []byte, error) {
	check(c.tls.SetDeadline(time.Now().Add(deadline)))
	if err := c.send(method, path, body); err != nil {
		return 0, nil, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	var read []byte
	if wanted {
		read, err = io.ReadAll(response.Body)
	} else {
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err == nil && response.Close {
		err = errors.New("the server ends the connection")
	}
	return response.StatusCode, read, err
}
