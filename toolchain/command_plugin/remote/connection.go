// Package remote runs commands on, and copies files to, hosts that are reached over SSH.
package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	defaultDialErrorLimit  = 10
	unlimitedDialErrors    = -1
	defaultPerDialTimeoutS = 15
	defaultPort            = 22
	defaultUser            = "root"
)

// errSettings marks what no further attempt can mend.
var errSettings = errors.New("the connection's settings are wrong")

// Endpoint is how one host is reached and how both sides prove who they are.
type Endpoint struct {
	Host               *string  `pulumi:"host"`
	User               *string  `pulumi:"user,optional"`
	Password           *string  `pulumi:"password,optional"`
	Port               *float64 `pulumi:"port,optional"`
	PrivateKey         *string  `pulumi:"privateKey,optional"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional"`
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	HostKey            *string  `pulumi:"hostKey,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
}

// ProxyConnection is the host in between.
type ProxyConnection struct {
	Endpoint
}

// Connection is the host that the work is done on.
type Connection struct {
	Endpoint
	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// Annotate gives the SDK's defaults.
func (c *Connection) Annotate(a infer.Annotator) {
	a.Describe(&c, "Instructions for how to connect to a remote endpoint.")
	annotate(a, &c.Endpoint)
}

// Annotate gives the SDK's defaults.
func (c *ProxyConnection) Annotate(a infer.Annotator) {
	a.Describe(&c, "Instructions for how to connect to a remote endpoint via a bastion host.")
	annotate(a, &c.Endpoint)
}

func annotate(a infer.Annotator, e *Endpoint) {
	a.SetDefault(&e.User, defaultUser)
	a.SetDefault(&e.Port, defaultPort)
	a.SetDefault(&e.DialErrorLimit, defaultDialErrorLimit)
	a.SetDefault(&e.PerDialTimeout, defaultPerDialTimeoutS)
}

func valueOr[T any](pointer *T, otherwise T) T {
	if pointer == nil {
		return otherwise
	}
	return *pointer
}

func (e *Endpoint) address() string {
	return net.JoinHostPort(valueOr(e.Host, ""), strconv.Itoa(int(valueOr(e.Port, defaultPort))))
}

func (e *Endpoint) errorLimit() int { return valueOr(e.DialErrorLimit, defaultDialErrorLimit) }

// timeout is for one attempt; 0 means none.
func (e *Endpoint) timeout() time.Duration {
	return time.Duration(valueOr(e.PerDialTimeout, defaultPerDialTimeoutS)) * time.Second
}

// clientConfig offers, in this order: the private key, the password, the agent's keys.
func (e *Endpoint) clientConfig() (*ssh.ClientConfig, func(), error) {
	config := &ssh.ClientConfig{
		User:            valueOr(e.User, defaultUser),
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		Timeout:         e.timeout(),
	}
	if err := e.expectHostKey(config); err != nil {
		return nil, nil, err
	}
	if e.PrivateKey != nil {
		signer, err := e.signer()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: privateKey: %w", errSettings, err)
		}
		config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		config.Auth = append(config.Auth, ssh.Password(*e.Password), ssh.KeyboardInteractive(e.answerAll))
	}
	release := func() {}
	if socket := valueOr(e.AgentSocketPath, os.Getenv("SSH_AUTH_SOCK")); socket != "" {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: the SSH agent doesn't answer: %w", errSettings, err)
		}
		release = func() { conn.Close() }
		config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(conn).Signers))
	}
	return config, release, nil
}

func (e *Endpoint) signer() (ssh.Signer, error) {
	if e.PrivateKeyPassword != nil {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
	}
	return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
}

// answerAll serves hosts that ask for the password as a question.
func (e *Endpoint) answerAll(_, _ string, questions []string, _ []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range questions {
		answers[i] = *e.Password
	}
	return answers, nil
}

// expectHostKey takes the key as a public key file has it, and as a known_hosts line has it.
func (e *Endpoint) expectHostKey(config *ssh.ClientConfig) error {
	if e.HostKey == nil {
		return nil
	}
	text := []byte(strings.TrimSpace(*e.HostKey))
	expected, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		_, _, expected, _, _, err = ssh.ParseKnownHosts(text)
	}
	if err != nil {
		return fmt.Errorf("%w: hostKey is no public key like `ssh-ed25519 AAAA…`: %w", errSettings, err)
	}
	// A host has keys of several kinds and shows the one that is asked for.
	config.HostKeyAlgorithms = []string{expected.Type()}
	if expected.Type() == ssh.KeyAlgoRSA {
		config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	config.HostKeyCallback = func(hostname string, _ net.Addr, shown ssh.PublicKey) error {
		if string(shown.Marshal()) == string(expected.Marshal()) {
			return nil
		}
		return fmt.Errorf("%w: %s shows host key %s, expected %s", errSettings, hostname,
			ssh.FingerprintSHA256(shown), ssh.FingerprintSHA256(expected))
	}
	return nil
}
