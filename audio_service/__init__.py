"""Consumes download requests, makes DCA files, answers questions about the library over HTTP."""
