// Package run keeps the run directory: its files, its lock, and what they mean.
package run
