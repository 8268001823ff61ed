"""What both services speak: messages, errors, DCA, and the ports to brokers and blob stores.

Admission rule: a module lives here when BOTH services import it, and it imports NEITHER of them.
"""
