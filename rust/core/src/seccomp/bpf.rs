//! Assembles the classic BPF program from a table of verdicts.
//!
//! Layout: architecture test, x32 test, a binary search over runs of equal verdicts, argument checks in place at the
//! leaves. Cost: at most ⌈log₂ runs⌉ comparisons. Reference: `linux/filter.h`, `linux/seccomp.h`.

use super::{Arch, Check, ENOSYS, Verdict};
use std::collections::BTreeMap;

/// `struct sock_filter`: operation, jump if true, jump if false, operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

pub(super) const RET_KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const RET_USER_NOTIF: u32 = 0x7fc0_0000;
pub(super) const RET_ERRNO: u32 = 0x0005_0000;
pub(super) const RET_ALLOW: u32 = 0x7fff_0000;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const X32_BIT: u32 = 0x4000_0000;

const CLONE_NEW_ANY: u32 = 0x7e02_0080; // NEWTIME 0x80, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
const MODE_SETID: u32 = 0o6000;
const OPEN_CREATES: u32 = 0o100 | 0o20_000_000; // O_CREAT | __O_TMPFILE
const FILE_TYPE: u32 = 0o170_000;

/// The program for `arch`. Numbers that the table lacks are answered ENOSYS.
pub fn assemble(arch: Arch, table: &BTreeMap<u32, Verdict>) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD, OFFSET_ARCH),
        Instruction {
            code: EQUAL,
            jt: 1,
            jf: 0,
            k: arch.audit(),
        },
        op(RETURN, RET_USER_NOTIF),
        op(LOAD, OFFSET_NUMBER),
    ];
    if matches!(arch, Arch::X86_64) {
        program.push(Instruction {
            code: GREATER_EQUAL,
            jt: 0,
            jf: 1,
            k: X32_BIT,
        });
        program.push(op(RETURN, RET_USER_NOTIF));
    }
    program.extend(search(&runs(table)));
    program
}

/// Runs of equal verdicts: (first number, verdict), ascending and covering every number from 0.
fn runs(table: &BTreeMap<u32, Verdict>) -> Vec<(u32, Option<Verdict>)> {
    let mut runs = vec![(0, table.get(&0).copied())];
    let last = table.keys().next_back().copied().unwrap_or(0);
    for number in 1..=last + 1 {
        let verdict = table.get(&number).copied();
        if runs.last().is_some_and(|(_, before)| *before != verdict) {
            runs.push((number, verdict));
        }
    }
    runs
}

fn search(runs: &[(u32, Option<Verdict>)]) -> Vec<Instruction> {
    match runs {
        [] => vec![op(RETURN, RET_ERRNO | u32::from(ENOSYS))],
        [(_, verdict)] => leaf(*verdict),
        _ => {
            let (low, high) = runs.split_at(runs.len() / 2);
            let (left, right) = (search(low), search(high));
            // A conditional jump reaches 255 instructions, an unconditional one all of them.
            let mut code = vec![
                Instruction {
                    code: GREATER_EQUAL,
                    jt: 0,
                    jf: 1,
                    k: high[0].0,
                },
                jump(left.len()),
            ];
            code.extend(left);
            code.extend(right);
            code
        }
    }
}

fn leaf(verdict: Option<Verdict>) -> Vec<Instruction> {
    match verdict {
        None => vec![op(RETURN, RET_ERRNO | u32::from(ENOSYS))],
        Some(Verdict::Allow) => vec![op(RETURN, RET_ALLOW)],
        Some(Verdict::Refuse(_)) => vec![op(RETURN, RET_USER_NOTIF)],
        Some(Verdict::Quiet(errno)) => vec![op(RETURN, RET_ERRNO | u32::from(errno))],
        Some(Verdict::Kill) => vec![op(RETURN, RET_KILL_PROCESS)],
        Some(Verdict::Check(check)) => checks(check),
    }
}

fn checks(check: Check) -> Vec<Instruction> {
    match check {
        Check::CloneFlags => refuse_bits(0, CLONE_NEW_ANY),
        Check::Mode(argument) => refuse_bits(argument, MODE_SETID),
        Check::OpenMode { flags, mode } => {
            let mut code = vec![
                op(LOAD, argument_low(flags)),
                Instruction {
                    code: BITS,
                    jt: 1,
                    jf: 0,
                    k: OPEN_CREATES,
                },
                op(RETURN, RET_ALLOW),
            ];
            code.extend(refuse_bits(mode, MODE_SETID));
            code
        }
        Check::Mknod(argument) => {
            let mut code = vec![op(LOAD, argument_low(argument)), op(AND, FILE_TYPE)];
            code.extend(refuse_values(&[0o020_000, 0o060_000]));
            code.extend(refuse_bits(argument, MODE_SETID));
            code
        }
        Check::Ioctl => {
            let mut code = vec![op(LOAD, argument_low(1))];
            code.extend(refuse_values(&[0x5412, 0x541c, 0x5423])); // TIOCSTI, TIOCLINUX, TIOCSETD
            code.push(op(RETURN, RET_ALLOW));
            code
        }
        Check::Prctl => {
            let mut code = vec![op(LOAD, argument_low(0))];
            code.extend(refuse_values(&[35, 0x5961_6d61])); // PR_SET_MM, PR_SET_PTRACER
            code.push(op(RETURN, RET_ALLOW));
            code
        }
        Check::Personality => {
            let mut code = vec![op(LOAD, argument_low(0))];
            for value in [0, 0x0004_0000, 0xffff_ffff] {
                code.extend([
                    Instruction {
                        code: EQUAL,
                        jt: 0,
                        jf: 1,
                        k: value,
                    },
                    op(RETURN, RET_ALLOW),
                ]);
            }
            code.push(op(RETURN, RET_USER_NOTIF));
            code
        }
        Check::Socket => socket(),
    }
}

/// `AF_UNIX`, `AF_INET`, `AF_INET6` without raw sockets and without MPTCP, SCTP, DCCP; `AF_NETLINK` only
/// `NETLINK_ROUTE`.
fn socket() -> Vec<Instruction> {
    let mut inet = vec![op(LOAD, argument_low(1)), op(AND, 0xf)];
    inet.extend(refuse_values(&[3, 10])); // SOCK_RAW, SOCK_PACKET
    inet.push(op(LOAD, argument_low(2)));
    inet.extend(refuse_values(&[33, 132, 262])); // DCCP, SCTP, MPTCP
    inet.push(op(RETURN, RET_ALLOW));
    let netlink = [
        op(LOAD, argument_low(2)),
        Instruction {
            code: EQUAL,
            jt: 0,
            jf: 1,
            k: 0,
        }, // NETLINK_ROUTE
        op(RETURN, RET_ALLOW),
        op(RETURN, RET_USER_NOTIF),
    ];
    let mut code = vec![op(LOAD, argument_low(0))];
    code.extend([Instruction {
        code: EQUAL,
        jt: 0,
        jf: 4,
        k: 16,
    }]);
    code.extend(netlink);
    for (left, family) in [(2, 1), (1, 2), (0, 10)] {
        // Each comparison jumps over those that are left and the refusal behind them.
        code.push(Instruction {
            code: EQUAL,
            jt: left + 1,
            jf: 0,
            k: family,
        });
    }
    code.push(op(RETURN, RET_USER_NOTIF));
    code.extend(inet);
    code
}

fn refuse_bits(argument: u8, bits: u32) -> Vec<Instruction> {
    vec![
        op(LOAD, argument_low(argument)),
        Instruction {
            code: BITS,
            jt: 0,
            jf: 1,
            k: bits,
        },
        op(RETURN, RET_USER_NOTIF),
        op(RETURN, RET_ALLOW),
    ]
}

/// Notifies when the loaded value is one of `values`, else goes on behind.
fn refuse_values(values: &[u32]) -> Vec<Instruction> {
    values
        .iter()
        .flat_map(|value| {
            [
                Instruction {
                    code: EQUAL,
                    jt: 0,
                    jf: 1,
                    k: *value,
                },
                op(RETURN, RET_USER_NOTIF),
            ]
        })
        .collect()
}

/// Offset of the low half of an argument in `struct seccomp_data`, on the little-endian machines that run agents.
fn argument_low(argument: u8) -> u32 {
    16 + 8 * u32::from(argument)
}

fn op(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(length: usize) -> Instruction {
    // INVARIANT: a program has under 4096 instructions (BPF_MAXINSNS), so the length always fits.
    op(JUMP, u32::try_from(length).unwrap_or(u32::MAX))
}

/// Runs a program as the kernel would, for tests.
#[cfg(test)]
pub(super) fn interpret(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = vec![number, arch, 0, 0];
    for arg in args {
        data.push((arg & 0xffff_ffff) as u32);
        data.push((arg >> 32) as u32);
    }
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let step = program[at];
        at += 1;
        let branch = |condition: bool| usize::from(if condition { step.jt } else { step.jf });
        match step.code {
            LOAD => accumulator = data[step.k as usize / 4],
            AND => accumulator &= step.k,
            JUMP => at += step.k as usize,
            EQUAL => at += branch(accumulator == step.k),
            GREATER_EQUAL => at += branch(accumulator >= step.k),
            BITS => at += branch(accumulator & step.k != 0),
            RETURN => return step.k,
            other => unreachable!("{other:#x}"),
        }
    }
}
