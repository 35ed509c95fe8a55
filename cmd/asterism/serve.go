package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/predict"
	"github.com/asterism-ssl/asterism/core/serve"
)

func (a *app) serveCommand() *cobra.Command {
	var listen string
	var sets []string
	var open bool
	var threads int
	c := &cobra.Command{
		Use: "serve RUN", Short: "Search and predict with a run in the browser, or over HTTP",
		Long: `Serve answers over HTTP on this machine alone: a page to search the run's objects by clicking on them or by dropping an
image or another file, and an API to embed, predict and search, which /openapi.json describes. --listen names another address;
then whoever reaches it may ask. Ctrl-C ends it.

` + readBy,
		Example: "  asterism serve efigi --open\n  curl --data-binary @galaxy.png http://127.0.0.1:8765/api/predict",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			host, _, err := net.SplitHostPort(listen)
			if err != nil {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--listen %s is not an address", shown(listen)), Do: "give host:port, such as 127.0.0.1:8765; port 0 takes a free one"}
			}
			if err := onlyData(sets); err != nil {
				return err
			}
			u, err := a.use(c, args[0], ".", sets, threads)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, u.close()) }()
			p, err := predict.Open(c.Context(), u.x, u.dir, predict.Options{Host: u.host, Engine: native.New(), Threads: threads, Nearest: 10, Tasks: true, Note: u.progress.Note})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.Close()) }()
			x, err := predict.OpenIndex(u.dir, threads, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, x.Close()) }()
			pictures, err := a.pictures(u.dir, x, true)
			if err != nil {
				return err
			}
			if pictures != nil {
				defer pictures.Close()
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return &fault.Error{Kind: fault.Resource, What: "cannot listen on " + listen, Err: err, Do: "name another address with --listen; 127.0.0.1:0 takes a free port"}
			}
			s := &serve.Server{Run: filepath.Base(filepath.Clean(u.dir)), Predictor: p, Index: x, Pictures: pictures, Reader: u.reader}
			if name, err := os.Hostname(); err == nil {
				s.Hosts = append(s.Hosts, name)
			}
			if host != "" {
				s.Hosts = append(s.Hosts, host)
			}
			address := l.Addr().(*net.TCPAddr)
			if at, ok := netip.AddrFromSlice(address.IP); ok && !at.Unmap().IsLoopback() {
				u.progress.Note("whoever reaches this machine on port " + fmt.Sprint(address.Port) + " may ask, without a password")
			}
			page := "http://" + l.Addr().String() + "/"
			if err := a.ready(s.Run, page); err != nil {
				return err
			}
			if open {
				if err := openInBrowser(page); err != nil {
					return err
				}
			}
			if err := s.Serve(c.Context(), l); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8765", "address to listen on")
	c.Flags().StringArrayVar(&sets, "set", nil, "where the data are whose dataset reads files, where they are not as in the run: data.sources.0.…=VALUE")
	c.Flags().BoolVar(&open, "open", false, "open the page in the browser")
	c.Flags().IntVar(&threads, "threads", 0, "processors to use (0: all)")
	return c
}

// ready says where the server is.
func (a *app) ready(run, page string) error {
	if a.json {
		return a.writeJSON(map[string]any{"run": run, "page": page})
	}
	_, err := fmt.Fprintf(a.out, "%s: %s\n", run, page)
	return err
}
