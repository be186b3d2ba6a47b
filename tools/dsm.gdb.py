# For gdb on a node: lets libdsm's traps pass, and adds "dsm pages" and "dsm locks", which print the engine's state in a
# stopped process. dsmrun --gdb RANK loads it; by hand: gdb -x dsm.gdb.py --args PROGRAM.
import gdb

# Accesses to absent pages arrive as these signals, thousands of times.
gdb.execute("handle SIGSEGV SIGBUS nostop noprint pass", to_string=True)


def call(function):
    """Calls `extern "C" void function()` of libdsm in the stopped process, all other threads held."""
    thread = gdb.selected_thread()
    if thread is None or not thread.is_valid():
        raise gdb.GdbError("There is no process yet: start the program, and stop it where its state is wanted.")
    try:
        gdb.parse_and_eval("&" + function)
    except gdb.error:
        raise gdb.GdbError("This program has no " + function + ": it is not linked with libdsm.")
    locking = gdb.parameter("scheduler-locking")
    gdb.execute("set scheduler-locking on", to_string=True)
    try:
        gdb.execute("call ((void (*)(void)) &%s)()" % function)
    except gdb.error as error:
        # Some gdb and kernel versions disagree on the size of the vector registers; the call itself has happened.
        print("gdb could not put the process back as it was (%s): look at it, but do not continue it." % error)
    finally:
        gdb.execute("set scheduler-locking " + locking, to_string=True)


class Dsm(gdb.Command):
    """State of libdsm in this node: dsm pages, dsm locks."""

    def __init__(self):
        super().__init__("dsm", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class Print(gdb.Command):
    def __init__(self, name, function, text):
        self.__doc__ = text
        self.function = function
        super().__init__("dsm " + name, gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        call(self.function)


Dsm()
Print("pages", "dsm_debug_pages", "Prints the state of the pages that this node knows.")
Print("locks", "dsm_debug_locks", "Prints the locks that this node holds, waits for or manages.")
