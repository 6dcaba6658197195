/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Takes the PHP frames of a process. executor_globals.current_execute_data is the innermost frame while PHP calls
 * anything, and each frame leads to that of its caller. A PHP that is not built for threads runs in the main thread only.
 *
 * Sources: zend_execute_data, zend_op, zend_op_array in Zend/zend_compile.h, zend_string in Zend/zend_types.h,
 * zend_class_entry in Zend/zend.h of PHP 7.4 to 8.4. What differs between these is in a php_layout.
 */
#ifdef WALKED_SLOTS

#define EXECUTE_DATA_SIZE 56 /* up to the end of the last of its members that follow */
#define EX_OPLINE 0
#define EX_FUNC 24
#define EX_CALL_INFO 40 /* with the type of $this in its low byte */
#define EX_PREVIOUS 48
#define OPLINE_LINE 24
#define CLASS_NAME 8
#define STRING_CHARACTERS 24
#define IS_STRING 6
#define INTERNAL_FUNCTION 1
#define PHP_TYPE_SHIFT 32 /* of a function's type, in the flags of a frame */
#define MOST_OF_PAGE (1 << 20)

struct php_function {
	u64 type; /* in the low byte */
	u64 name;
	u64 scope;
};

struct php_string {
	u64 references; /* and in the upper half the type */
	u64 hash;
	u64 length;
};

/* Of all characters; of a string that is too long to be read whole, nothing is known. The text ends with a 0 at least. */
static __always_inline u64 string_hash(struct walked_stack *stack, u64 address)
{
	struct php_string string = {};
	u64 hash;

	if (!address)
		return 0;
	if (bpf_probe_read_user(&string, sizeof(string), (void *)address) || (string.references >> 32 & 0xf) != IS_STRING ||
	    string.length >= sizeof(stack->text)) {
		stack->fault = 1;
		return 0;
	}
	stack->text[at_most(string.length / sizeof(u64), WALKED_TEXT_SIZE / sizeof(u64) - 1)] = 0;
	if (bpf_probe_read_user(stack->text, at_most(string.length, sizeof(stack->text) - 1), (void *)(address + STRING_CHARACTERS)))
		stack->fault = 1;
	hash = string.length;
#pragma nounroll
	for (u32 i = 0; i < WALKED_TEXT_SIZE / sizeof(u64); i++) {
		if (i > string.length / sizeof(u64))
			break;
		hash = mixed(hash, stack->text[i]);
	}
	return hash;
}

static __always_inline u64 file_hash(struct walked_stack *stack, u64 address)
{
	if (address && address == stack->filename)
		return stack->filename_sum;
	stack->filename_sum = string_hash(stack, address);
	stack->filename = stack->fault ? 0 : address;
	return stack->filename_sum;
}

/*
 * A hash of all that names the frames of a function: whatever has the same one has the same name. The same is done in
 * httprec/languages/php_code.py.
 */
static __always_inline u64 function_cookie(struct walked_stack *stack, struct php_function *function, u64 address)
{
	struct php_layout *php = (void *)stack->runtime.layout;
	u64 cookie = mixed(0, string_hash(stack, function->name)), file[2] = {};

	if (function->scope)
		cookie = mixed(cookie, string_hash(stack, read_user(stack, function->scope + CLASS_NAME)));
	if ((u8)function->type != INTERNAL_FUNCTION) {
		if (bpf_probe_read_user(file, sizeof(file), (void *)(address + php->filename)))
			stack->fault = 1;
		cookie = mixed(mixed(cookie, file_hash(stack, file[0])), file[1]); /* its first and last line */
	}
	return stack->fault ? 0 : cookie | 1;
}

/*
 * The frame is in stack->frame. What is between PHP and C may be a frame without a function. A closure is a function of
 * its own each time that it is made, so what tells functions apart is their cookie and not their address.
 */
static __always_inline void take_php_frame(struct walked_stack *stack, struct walked_frame *to)
{
	u64 address = frame_word(stack, EX_FUNC), line = 0;
	struct php_function function = {};

	to->address = address;
	to->code = 0;
	to->cookie = 0;
	to->flags = (u32)frame_word(stack, EX_CALL_INFO);
	if (address) {
		stack->fault = 0;
		if (bpf_probe_read_user(&function, sizeof(function), (void *)address))
			stack->fault = 1;
		to->flags |= (u64)(u8)function.type << PHP_TYPE_SHIFT;
		if ((u8)function.type != INTERNAL_FUNCTION)
			line = (u32)read_user(stack, frame_word(stack, EX_OPLINE) + OPLINE_LINE);
		if (address != stack->last_code)
			stack->last_cookie = function_cookie(stack, &function, address);
		stack->last_code = address;
		to->cookie = stack->last_cookie;
	}
	to->instruction = line;
	stack->next = frame_word(stack, EX_PREVIOUS);
}

/* Returns why there is no first frame, else FRAMES_NOT_WALKED. Beside the pointer to it is the size of a page of frames. */
static __always_inline u8 begin_php_walk(struct walked_stack *stack)
{
	u64 mm = read_u64(bpf_get_current_task() + TASK_STRUCT__MM), globals[2] = {};
	struct php_layout *php = (void *)stack->runtime.layout;

	if ((u32)stack->thread != stack->thread >> 32)
		return FRAMES_NO_STATE;
	if (bpf_probe_read_user(globals, sizeof(globals), (void *)(read_u64(mm + MM_STRUCT__START_CODE) + php->page_size)))
		return FRAMES_FAULT;
	if (!globals[0] && !globals[1])
		return FRAMES_NO_STATE;
	if (globals[0] & (globals[0] - 1) || globals[0] > MOST_OF_PAGE)
		return FRAMES_OTHER_STATE;
	stack->next = globals[1];
	return FRAMES_NOT_WALKED;
}

#endif
