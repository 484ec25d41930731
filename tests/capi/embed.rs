// SPDX-License-Identifier: Apache-2.0
//
// tern from Rust, by nothing but extern "C": a stopped machine moves from one set of memory to
// another over a Unix socket. Usage: embed ADDRESS. A binding would make the structs below from the
// headers; here they are written by hand, like everything a first look needs.
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::ptr::{null, null_mut};

#[repr(C)]
struct RamBlock {
    size: usize,
    idstr: *const c_char,
    host: *mut c_void,
    used_bytes: u64,
    max_bytes: u64,
    gpa: u64,
    fd_offset: u64,
    fd: i32,
    flags: u32,
    page_bytes: u32,
    reserved: u32,
}

#[repr(C)]
struct VcpuCallbacks {
    size: usize,
    user: *mut c_void,
    destroy: Option<extern "C" fn(*mut c_void)>,
    run_state: extern "C" fn(*mut c_void) -> c_int,
    pause_all: extern "C" fn(*mut c_void, c_int, *mut c_int, *mut *mut c_void) -> c_int,
    resume_all: extern "C" fn(*mut c_void, *mut *mut c_void) -> c_int,
    set_stopped_state: extern "C" fn(*mut c_void, c_int),
}

/// As far as this program needs it: tern takes the members that are missing for 0.
#[repr(C)]
struct MachineOptions {
    size: usize,
    name: *const c_char,
    ram: *const RamBlock,
    ram_count: usize,
    tracker: *mut c_void,
    vcpus: *const VcpuCallbacks,
}

extern "C" {
    fn tern_version_string() -> *const c_char;
    fn tern_error_message(error: *const c_void) -> *const c_char;
    fn tern_run_state_from(name: *const c_char, state: *mut c_int, e: *mut *mut c_void) -> c_int;
    fn tern_settings_new() -> *mut c_void;
    fn tern_settings_free(settings: *mut c_void);
    fn tern_settings_set(s: *mut c_void, name: *const c_char, value: *const c_char, e: *mut *mut c_void) -> c_int;
    fn tern_machine_create(options: *const MachineOptions, out: *mut *mut c_void, e: *mut *mut c_void) -> c_int;
    fn tern_machine_free(machine: *mut c_void);
    fn tern_destination_create(m: *mut c_void, s: *const c_void, out: *mut *mut c_void, e: *mut *mut c_void) -> c_int;
    fn tern_destination_listen(d: *mut c_void, address: *const c_char, e: *mut *mut c_void) -> c_int;
    fn tern_destination_wait(d: *mut c_void, e: *mut *mut c_void) -> c_int;
    fn tern_destination_free(d: *mut c_void);
    fn tern_source_create(m: *mut c_void, s: *const c_void, out: *mut *mut c_void, e: *mut *mut c_void) -> c_int;
    fn tern_source_start(s: *mut c_void, address: *const c_char, e: *mut *mut c_void) -> c_int;
    fn tern_source_wait(s: *mut c_void, e: *mut *mut c_void) -> c_int;
    fn tern_source_stats(s: *const c_void, out: *mut *mut c_void, e: *mut *mut c_void) -> c_int;
    fn tern_source_free(s: *mut c_void);
    fn tern_stats_ending(stats: *const c_void) -> c_int;
    fn tern_ending_name(ending: c_int) -> *const c_char;
    fn tern_stats_error(stats: *const c_void) -> *const c_char;
    fn tern_stats_free(stats: *mut c_void);
}

fn text(c: *const c_char) -> String {
    unsafe { CStr::from_ptr(c) }.to_string_lossy().into_owned()
}

/// Calls a function whose last argument is the error; panics with its message.
macro_rules! ok {
    ($function:ident($($argument:expr),*)) => {{
        let mut error: *mut c_void = null_mut();
        let code = unsafe { $function($($argument,)* &mut error) };
        assert!(code == 0, "{}: {}", stringify!($function), text(unsafe { tern_error_message(error) }));
    }};
}

/// A guest that never runs: `user` points to its state.
extern "C" fn run_state(user: *mut c_void) -> c_int {
    unsafe { *(user as *mut c_int) }
}
extern "C" fn pause_all(user: *mut c_void, state: c_int, before: *mut c_int, _: *mut *mut c_void) -> c_int {
    unsafe { *before = std::ptr::replace(user as *mut c_int, state) };
    0
}
extern "C" fn resume_all(_: *mut c_void, _: *mut *mut c_void) -> c_int {
    panic!("the guest was stopped and is to stay so");
}
extern "C" fn set_stopped_state(user: *mut c_void, state: c_int) {
    unsafe { *(user as *mut c_int) = state };
}

const PAGES: usize = 64;
#[repr(align(4096))]
struct Memory([u8; PAGES * 4096]);

fn state_named(name: &str) -> c_int {
    let name = CString::new(name).unwrap();
    let mut state = -1;
    ok!(tern_run_state_from(name.as_ptr(), &mut state));
    state
}

fn machine(memory: &mut Memory, state: &mut c_int) -> *mut c_void {
    let (idstr, name) = (CString::new("ram").unwrap(), CString::new("rust").unwrap());
    let ram = RamBlock {
        size: std::mem::size_of::<RamBlock>(),
        idstr: idstr.as_ptr(),
        host: memory.0.as_mut_ptr() as *mut c_void,
        used_bytes: (PAGES * 4096) as u64,
        max_bytes: 0, gpa: 0, fd_offset: 0, fd: 0, flags: 0, page_bytes: 0, reserved: 0,
    };
    let vcpus = VcpuCallbacks {
        size: std::mem::size_of::<VcpuCallbacks>(),
        user: state as *mut c_int as *mut c_void,
        destroy: None, run_state, pause_all, resume_all, set_stopped_state,
    };
    let options = MachineOptions {
        size: std::mem::size_of::<MachineOptions>(),
        name: name.as_ptr(),
        ram: &ram, ram_count: 1, tracker: null_mut(), vcpus: &vcpus,
    };
    let mut machine = null_mut();
    ok!(tern_machine_create(&options, &mut machine));
    machine
}

fn main() {
    let address = CString::new(std::env::args().nth(1).expect("an address")).unwrap();
    let (mut here_state, mut there_state) = (state_named("paused"), state_named("inmigrate"));
    let mut here_memory = Box::new(Memory([0; PAGES * 4096]));
    let mut there_memory = Box::new(Memory([0; PAGES * 4096]));
    for (i, byte) in here_memory.0.iter_mut().enumerate() {
        *byte = (i / 4096 * 31 + i % 251) as u8;
    }
    let here = machine(&mut here_memory, &mut here_state);
    let there = machine(&mut there_memory, &mut there_state);

    let settings = unsafe { tern_settings_new() };
    let (name, value) = (CString::new("downtime-limit").unwrap(), CString::new("100").unwrap());
    ok!(tern_settings_set(settings, name.as_ptr(), value.as_ptr()));
    let (mut source, mut destination, mut stats) = (null_mut(), null_mut(), null_mut());
    ok!(tern_destination_create(there, null(), &mut destination));
    ok!(tern_destination_listen(destination, address.as_ptr()));
    ok!(tern_source_create(here, settings, &mut source));
    ok!(tern_source_start(source, address.as_ptr()));
    ok!(tern_source_wait(source));
    ok!(tern_destination_wait(destination));
    ok!(tern_source_stats(source, &mut stats));
    let ending = text(unsafe { tern_ending_name(tern_stats_ending(stats)) });
    assert_eq!(ending, "handed-over", "{}", text(unsafe { tern_stats_error(stats) }));
    unsafe {
        tern_stats_free(stats);
        tern_settings_free(settings);
        tern_source_free(source);
        tern_destination_free(destination);
        tern_machine_free(here);
        tern_machine_free(there);
    }
    assert!(here_memory.0 == there_memory.0);
    assert_eq!(there_state, state_named("paused"));
    println!("tern {} moved a machine for Rust: {}", text(unsafe { tern_version_string() }), ending);
}
