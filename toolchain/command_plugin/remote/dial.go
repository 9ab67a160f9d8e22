package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"golang.org/x/crypto/ssh"
)

// A host that has just been made takes its time to answer: wait a little longer after each failed attempt.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	pauseGrowth  = 1.5
)

// dial connects, through the proxy if there is one, and retries as the connection's settings allow. The returned
// function closes everything.
func (c *Connection) dial(ctx context.Context) (*ssh.Client, func(), error) {
	open := (&net.Dialer{}).DialContext
	closeProxy := func() {}
	if c.Proxy != nil {
		proxy, closeIt, err := c.Proxy.connect(ctx, "proxy", open)
		if err != nil {
			return nil, nil, fmt.Errorf("proxy: %w", err)
		}
		open, closeProxy = proxy.DialContext, closeIt
	}
	client, closeClient, err := c.connect(ctx, "host", open)
	if err != nil {
		closeProxy()
		return nil, nil, err
	}
	return client, func() { closeClient(); closeProxy() }, nil
}

type openFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connect makes attempts until one succeeds, the limit is reached, or no attempt can succeed.
func (e *Endpoint) connect(ctx context.Context, what string, open openFunc) (*ssh.Client, func(), error) {
	config, release, err := e.clientConfig()
	if err != nil {
		return nil, nil, err
	}
	pause := firstPause
	for failures := 1; ; failures++ {
		client, err := e.attempt(ctx, open, config)
		if err == nil {
			return client, func() { client.Close(); release() }, nil
		}
		limit := e.errorLimit()
		if ctx.Err() != nil || errors.Is(err, errSettings) || (limit != unlimitedDialErrors && failures > limit) {
			release()
			return nil, nil, fmt.Errorf("can't connect to %s after %d attempts: %w", e.address(), failures, err)
		}
		p.GetLogger(ctx).InfoStatusf("%s %s doesn't answer yet (attempt %d): %v", what, e.address(), failures, err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(time.Duration(float64(pause)*pauseGrowth), longestPause)
	}
}

// attempt bounds the SSH handshake, too: a host that accepts the connection and then says nothing must not hang us.
func (e *Endpoint) attempt(ctx context.Context, open openFunc, config *ssh.ClientConfig) (*ssh.Client, error) {
	if timeout := e.timeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	conn, err := open(ctx, "tcp", e.address())
	if err != nil {
		return nil, err
	}
	// Closing is what interrupts a handshake; a deadline is not supported by connections through a proxy.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	ssConn, channels, requests, err := ssh.NewClientConn(conn, e.address(), config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w during the SSH handshake", ctx.Err())
		}
		return nil, err
	}
	return ssh.NewClient(ssConn, channels, requests), nil
}
